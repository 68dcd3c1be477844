"""Recorded agent programs, run again as AutoGen chats against a server that answers from the recording."""
