"""Run code by hand, without a model: the computer of an interpreter is a shell that stays."""

from interpreter import interpreter

interpreter.computer.run("shell", "answer=42")
for message in interpreter.computer.run("shell", "echo $answer"):
    print(message["type"], message["content"].strip())
interpreter.computer.terminate()
