"""What questions are about: times, fields, things to save, messages, and what needs no tool."""

from __future__ import annotations

__all__ = [
    "CHAT",
    "COUNTED",
    "FIELDS",
    "ITEMS",
    "ITEM_TAILS",
    "MESSAGES",
    "OUT_OF_SCOPE",
    "RECEIVERS",
    "WHENS",
]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


WHENS = _listed(
    "today,tomorrow,tonight,now,Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday,"
    "this weekend,next week,this evening,this afternoon,tomorrow morning,at noon,next Monday,"
    "next Friday,Monday morning,Friday evening,Sunday night"
)
FIELDS = {
    "country": _listed(
        "capital,currency,language,continent,population,area,president,anthem,flag,national dish"
    ),
    "person": _listed(
        "role,phone,office,email,address,birthday,age,team,manager,phone number,job title"
    ),
    "thing": _listed(
        "owner,price,color,colour,size,weight,status,version,location,founder,release date"
    ),
}
ITEMS = _listed(
    "locker code,wifi password,door pin,room number,favorite city,lucky number,meeting hour,"
    "favorite color,dog,cat,boss,sister,brother,doctor,dentist,bank,flight number,seat,gate,hotel,"
    "street,birthday,shoe size,favorite food,favorite band,bike code,user name,customer id,"
    "license plate,best friend,teacher,school,next stop,budget,deadline,server,project name"
)

ITEM_TAILS = ("code", "number", "name", "password", "key", "pin", "id")
RECEIVERS = _listed("the team,mom,my boss,everyone,the office,dad,my sister,Dr. Weber,Mr. Jones")
COUNTED = _listed("apples,tickets,books,pens,chairs,lamps,eggs,coins,stamps,cards")

# The parts of a message that is sent. {c} is a city, {p} a person, {d} a number, {w} a time, {i} an item.
MESSAGES = (
    "we meet in {c} at {d}",
    "meet in {c} at {d}",
    "dinner is at {d}",
    "lunch is at {d} {w}",
    "the meeting is {w}",
    "the meeting moved to {w}",
    "I will be late",
    "I am late",
    "I arrive {w}",
    "I arrive in {c} {w}",
    "the train leaves at {d}",
    "the report is ready",
    "the {i} is {d}",
    "the {i} is {c}",
    "my {i} is {d}",
    "{p} called",
    "{p} is waiting",
    "{p} needs {d} chairs",
    "please call {p}",
    "please bring the tickets",
    "the code is {d}",
    "happy birthday",
    "hello",
    "hello from {c}",
    "thank you",
    "we won",
    "the server is down",
    "the package from {c} arrived",
    "see you {w}",
    "see you in {c}",
    "it rains in {c}",
    "build {d} failed",
    "room {d} is free {w}",
    "buy milk and bread",
    "order {d} more boxes",
    "I'm late, sorry",
    "don't wait for me",
    "it's {d} o'clock, {p}",
    "great work, {p}",
    "bring milk, eggs and bread",
    "{p} can't come {w}",
    "{p}'s {i} is in room {d}",
    "my {i} is {c}, not {p}",
    "lunch at {d}?",
    "are you coming {w}?",
    "where is the {i}?",
    "congratulations!",
    "call me when you are in {c}",
    "the {i} has arrived",
    "I am running late",
    "I need the {i} {w}",
    "yes",
    "no",
    "ok",
)

OUT_OF_SCOPE = (
    "Write a poem about {x}.",
    "Tell me a joke.",
    "Tell me a story about {x}.",
    "Translate {x} into French.",
    "Who won the game in {x}?",
    "Sing a song.",
    "Play some music.",
    "Book a flight to {x}.",
    "Order a pizza.",
    "Draw a picture of {x}.",
    "Write a program that sorts numbers.",
    "Fix this bug.",
    "What do you think about {x}?",
    "Summarize the text.",
    "Summarize this article about {x}.",
    "Open the file {x}.",
    "Search the web for {x}.",
    "Explain {x} to me.",
    "Turn on the lights.",
    "Set an alarm.",
    "Buy me a ticket to {x}.",
    "Why is the sky blue?",
    "Delete all files.",
    "Recommend a book.",
    "Who is {x}?",
    "What is {x}?",
    "Plot a chart of the stock price of {x}.",
)

# What needs no tool: the answer, and how one says it.
CHAT = {
    "Hello. Ask me something that one of my tools can answer.": (
        "Hello",
        "Hi",
        "Hello!",
        "Hi there",
        "Hey",
        "Good morning",
        "Good evening!",
        "Hello, how are you?",
        "Hi {n}",
        "Hey, nice to meet you",
    ),
    "I am nano, a very small model. I call tools and tell you what they say.": (
        "Who are you?",
        "What are you?",
        "What is your name?",
        "What can you do?",
        "Are you a language model?",
        "Help",
        "How can you help me?",
        "Introduce yourself.",
        "What model are you?",
        "Tell me about yourself.",
    ),
    "You are welcome.": (
        "Thanks",
        "Thank you",
        "Thanks!",
        "Thank you very much.",
        "Great, thanks",
        "Thanks a lot",
        "Perfect, thank you!",
        "Good job",
    ),
    "Ask me something else.": (
        "",
        "ok",
        "OK",
        "Ok.",
        "I see",
        "Good",
        "Great",
        "Fine",
        "Continue",
        "Next",
        "yes",
        "no",
    ),
}
