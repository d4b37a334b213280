"""The API as Python methods: log in, train, watch, compare, from another program or another machine.

    Client (tasks, experiments, users, …) ─► Asking (who asks: Login) ─► Wire (HTTP, once more where that is safe)
                                                     CredentialsFile ◄─┘

    from finetune30.client import Client

    with Client("https://api.example.org") as client:
        client.login("ana", password)
        task = client.train({"experiment_name": "first", "lora": {"r": 16}})
        for news in client.watch(task.task_id):
            print(news.kind, news.message)

A lost answer never makes two jobs, a token never goes over plain HTTP to another machine or after a redirect,
and several threads, or processes with the same stored login, refresh it once. Errors are ``errors.RemoteError``
and its kinds. Neighbours: ``config`` reads files that are submitted. No database, no queue, no torch here.
"""

from finetune30.client.answers import Event, Experiment, Page, Person, Statistics, Task, WholeExperiment, WholeTask
from finetune30.client.client import Client
from finetune30.client.credentials import CredentialsFile, last_server
from finetune30.client.session import Session
from finetune30.client.watching import News

__all__ = [
    "Client",
    "CredentialsFile",
    "Event",
    "Experiment",
    "News",
    "Page",
    "Person",
    "Session",
    "Statistics",
    "Task",
    "WholeExperiment",
    "WholeTask",
    "last_server",
]
