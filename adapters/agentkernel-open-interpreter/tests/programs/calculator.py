"""Ask for a number; the interpreter computes it in Python."""

import os

from interpreter import interpreter

interpreter.offline = True
interpreter.auto_run = True
interpreter.llm.model = "openai/gpt-4"
interpreter.llm.api_base = os.environ["SERVER_URL"]
interpreter.llm.api_key = "none"
interpreter.llm.context_window, interpreter.llm.max_tokens = 8000, 500
interpreter.llm.supports_functions = True
interpreter.plain_text_display = True

answers = interpreter.chat("What is six times seven?")
print([(answer["role"], answer["type"], answer["content"].strip()) for answer in answers])
interpreter.computer.terminate()
