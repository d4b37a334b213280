"""PROCESS: answers texts with many adapters on one base model, and switches them without a dropped request.

A request names an adapter → ``following`` knows which one that is now → ``host`` has it in memory → ``lane``
computes, many requests in a batch → ``app`` answers. Knows no training, no data and no queue.
"""
