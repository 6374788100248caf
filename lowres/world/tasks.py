"""The five tasks of the stream, and two-hop questions with their reasoning."""
from lowres.data.examples import Task
def load(name: str) -> Task:
    return Task(name, "", "token_f1", (), (), (), "", "", 4)
