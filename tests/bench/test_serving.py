"""The serving benchmark: what stops it, what it compares, and what its goals say (no time is asserted)."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from benchmarks import serving
from benchmarks.adapters import ADAPTERS, spread
from benchmarks.goals import Goal, table
from benchmarks.servers import Server, _running, free_port, still

PEERS = Path(serving.__file__).with_name("peers")


@contextmanager
def server(name: str, labels: dict[str, str], status: int = 200, score: float = 0.9) -> Iterator[Server]:
    """One that answers these labels, and the text ``a`` with this status."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"label": labels[asked["text"]], "score": score}).encode()
            self.send_response(status if asked["text"] == "a" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            label = lambda found: found["label"]  # noqa: E731
            nothing: Any = None
            yield Server(name, http.server_port, "/predict", lambda text: {"text": text}, label, nothing)
        finally:
            http.shutdown()
            thread.join()


GOOD, BAD = {"a": "positive", "b": "negative"}, {"a": "positive", "b": "positive"}


def test_servers_that_say_the_same_may_be_measured() -> None:
    with server("finetune30", GOOD) as ours, server("pipeline", GOOD) as peer:
        assert serving.agreed([ours, peer], ["a", "b"]) == 2


def test_another_label_stops_it() -> None:
    with (
        server("finetune30", GOOD) as ours,
        server("pipeline", BAD) as peer,
        pytest.raises(RuntimeError, match="finetune30 says negative, pipeline says positive, of 'b'"),
    ):
        serving.agreed([ours, peer], ["a", "b"])


def test_what_the_pipeline_finds_close_is_no_evidence() -> None:
    with server("finetune30", GOOD) as ours, server("pipeline", BAD, score=0.51) as peer:
        assert serving.agreed([ours, peer], ["a", "b"]) == 0


def test_a_peer_that_answers_errors_stops_it() -> None:
    with server("litserve", GOOD, status=422) as peer:
        with pytest.raises(RuntimeError, match="litserve answers 422"):
            serving.agreed([peer], ["b", "a"])
        with pytest.raises(RuntimeError, match=r"litserve failed \d+ times: HTTP/1.1 422"):
            peer.loaded([{"text": "b"}, {"text": "a"}], clients=2, lasting_s=0.05)


def test_mixed_traffic_goes_to_every_adapter_alike_and_to_others_at_the_same_time() -> None:
    """168 texts and 100 adapters end together after 4,200 questions, not after 168."""
    texts, runs = [f"t{n}" for n in range(168)], [f"r{n}" for n in range(ADAPTERS)]
    bodies = spread(texts, runs)

    assert set(Counter(body["adapter"] for body in bodies).values()) == {42}
    assert [body["text"] for body in bodies[:168]] == texts
    for at in range(0, len(bodies), 32):
        at_once = [body["adapter"] for body in bodies[at : at + 32]]
        assert len(set(at_once)) == len(at_once)


def test_goals_are_held_against_the_median_round() -> None:
    rounds = [1.0, 1.6, 9.0]
    assert Goal("x", 1.5, rounds).met is True
    assert Goal("x", 1.5, rounds, at_least=False).met is False
    assert Goal("x", 1.5, []).met is None
    assert table([Goal("texts/s", 1.5, rounds), Goal("swaps", 0, [0.0], at_least=False, digits=0)])[2:] == [
        "| texts/s | ≥ 1.5 | 1.60 (1.00-9.00) | met |",
        "| swaps | ≤ 0 | 0 | met |",
    ]
    assert "**missed**" in Goal("x", 1.7, rounds).line()
    assert "not measured" in Goal("x", 1.7, []).line()


def test_a_server_that_does_not_start_tells_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with (
        pytest.raises(RuntimeError, match="does not start: no such model"),
        _running(command, tmp_path, free_port(), "/", os.environ),
    ):
        pass


SERVER_WITH_CHILD = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)"])
open("child", "w").write(str(child.pid))
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def test_children_are_stopped_go_on_and_end_with_their_server(tmp_path: Path) -> None:
    """LitServe's outlive a SIGTERM of their parent."""
    port = free_port()
    command = [sys.executable, "-c", SERVER_WITH_CHILD, str(port)]
    with _running(command, tmp_path, port, "/child", os.environ) as process:
        one = Server("x", port, "/", str, str, process)
        pids = [process.pid, int((tmp_path / "child").read_text())]
        with still([one]):
            wait_until(lambda: [state(pid) for pid in pids] == ["T", "T"])
        wait_until(lambda: "T" not in [state(pid) for pid in pids])
        assert one.cpu_s() > 0
        assert one.rss() > 0
    wait_until(lambda: {state(pid) for pid in pids} <= {"", "Z"})  # killed, perhaps not yet fetched


def wait_until(true: Callable[[], bool]) -> None:
    """Signals arrive a moment later."""
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def state(pid: int) -> str:
    """A letter, as ps tells it."""
    return subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout[:1]


def test_litserve_sees_a_request_and_no_query_parameter() -> None:
    """Any annotation of ``request`` makes FastAPI look for it in the query: then every answer is 422."""
    tree = ast.parse((PEERS / "litserve_server.py").read_text())
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    assert [(arg.arg, arg.annotation) for arg in functions["decode_request"].args.args] == [
        ("self", None),
        ("request", None),
    ]
    assert functions["encode_response"].returns is None
