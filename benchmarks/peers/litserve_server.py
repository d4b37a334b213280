"""LitServe with the same model and dynamic batching. ``python litserve_server.py FOLDER PRECISION PORT``.

LitServe reads the signatures: ``request`` must have this name and no annotation. With one, and annotations as strings,
FastAPI takes it for a query parameter and answers every body with 422.

Its best configuration, of those tried on two cores that were not always quiet: bfloat16 (float32 takes twice the
processor time), torch's own number of threads (one thread: a fifth fewer texts/s), torch's own attention (eager: no
better), its own queue (ZeroMQ: the same within the noise), 5 ms for a batch to fill (1 ms: half the latency of one
client and no more texts/s; 0: its loop keeps a core busy).
"""

import sys

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):
    """One batch, one forward pass."""

    def setup(self, device):
        """Load."""
        del device
        folder, dtype = sys.argv[1], getattr(torch, sys.argv[2])
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()

    def decode_request(self, request):
        """The text."""
        return request["text"]

    def predict(self, texts):
        """Probabilities of each; they are read as tokens together."""
        batch = self.tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.inference_mode():
            return self.model(**batch).logits.float().softmax(-1).tolist()

    def encode_response(self, output):
        """The best."""
        best = max(range(len(output)), key=output.__getitem__)
        return {"label": self.model.config.id2label[best], "probability": output[best]}


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        port=int(sys.argv[3]), host="127.0.0.1", log_level="error"
    )
