"""What people write first: FastAPI around ``transformers.pipeline``. ``python pipeline_server.py FOLDER PORT``."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()
classify: Any = pipeline("text-classification", model=sys.argv[1], device="cpu")


class Question(BaseModel):
    """One text."""

    text: str


@app.post("/predict")
def predict(question: Question) -> dict[str, Any]:
    """Label and score."""
    found: dict[str, Any] = classify(question.text, truncation=True)[0]
    return found


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
