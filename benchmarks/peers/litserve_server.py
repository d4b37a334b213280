"""LitServe with the same model in bfloat16 and dynamic batching. ``python litserve_server.py FOLDER PORT``."""

from __future__ import annotations

import sys
from typing import Any

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """One batch, one forward pass."""

    def setup(self, device: str) -> None:
        """Load."""
        del device
        self.tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
        bfloat16 = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
        self.model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], dtype=bfloat16).eval()

    def decode_request(self, request: Any) -> str:
        """The text."""
        return str(request["text"])

    def batch(self, inputs: list[str]) -> list[str]:
        """Texts stay texts."""
        return list(inputs)

    def predict(self, texts: list[str]) -> list[list[float]]:
        """Probabilities of each."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.inference_mode():
            found: list[list[float]] = self.model(**batch).logits.float().softmax(-1).tolist()
        return found

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """One answer a request."""
        return list(output)

    def encode_response(self, output: list[float]) -> dict[str, float]:
        """The best."""
        best = max(range(len(output)), key=output.__getitem__)
        return {"label": best, "probability": output[best]}


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=int(sys.argv[2]), host="127.0.0.1", log_level="error"
    )
