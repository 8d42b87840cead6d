"""`rehead serve` on loopback against ONNX Runtime alone, and against LitServe where it is installed.

    python benchmarks/serve.py MODEL.onnx PHOTOS... [--requests 20000] [--seconds 8]

The same photos, as bytes, go through four things by turns: ONNX Runtime with decoding in as many threads as
there are processors, no HTTP; the service at full load (16 connections, each sends when it has its answer);
the service at half of that rate, requests coming at random (Poisson); and LitServe. Requests are made before
and sent by a process of its own, whose processor time is printed too: client and service share the
processors. Ratios of throughput are of the medians over the turns. Then come latencies, the time of a 503,
the start, and the memory of the service over many requests.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import importlib.util
import multiprocessing
import os
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CONNECTIONS = 16
_LITSERVE = """
import base64, sys
import litserve
from rehead.classification.predictor import load_model

class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = load_model(sys.argv[1], threads=1)
    def decode_request(self, request):
        return base64.b64decode(request["photos"][0])
    def predict(self, photo):
        return self.model.answer(photo)
    def encode_response(self, answer):
        return {"model": "model", "answers": [answer.to_dict()]}

if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=int(sys.argv[3]))
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
"""
"""The same answers by LitServe, in its own way: a process for each processor, photos as base64 in JSON."""


def requests_of(photos: Sequence[bytes], *, json: bool = False) -> list[bytes]:
    """The bytes of an HTTP request for each photo, as it is or in JSON."""
    kind = "application/json" if json else "image/jpeg"
    bodies = [b'{"photos": ["%s"]}' % base64.b64encode(photo) for photo in photos] if json else photos
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


class _Connection:
    """One HTTP connection that sends prepared requests and reads the answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.begun = b"", 0.0

    def send(self, request: bytes, begun: float) -> None:
        """Send a request that should have been sent at that time."""
        self.begun, self.buffer = begun, b""
        self.socket.sendall(request)

    def status(self) -> int | None:
        """The status of the answer once it is whole."""
        if not (part := self.socket.recv(65536)):
            raise ConnectionError("the service closed the connection")
        self.buffer += part
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return int(head[9:12]) if len(body) >= length else None


def load(
    port: int, requests: Sequence[bytes], seconds: float, rate: float | None, connections: int, count: int = 0
) -> tuple[list[tuple[int, float]], float]:
    """Statuses and seconds of the answers, and the processor time spent here.

    `rate` is in requests a second, at random; None: each connection sends when it has its answer. `count`
    ends it after so many requests instead.
    """
    chance, chooser = random.Random(0), selectors.DefaultSelector()
    found: list[tuple[int, float]] = []
    idle, sent = [], 0  # the longest first: the service closes connections that rest for 5 s
    for _ in range(connections):
        idle.append(connection := _Connection(port))
        chooser.register(connection.socket, selectors.EVENT_READ, connection)
    spent, now = time.process_time(), time.perf_counter()
    end, due, busy = now + seconds, now, 0
    while now < end or busy:
        while idle and (due <= now if rate else True) and (sent < count if count else now < end):
            idle.pop(0).send(requests[sent % len(requests)], due if rate else now)
            sent, busy = sent + 1, busy + 1
            due += chance.expovariate(rate) if rate else 0
        if count and sent >= count and not busy:
            break
        for key, _ in chooser.select(max(0.0, min(due, end) - now) if rate and now < end else 1.0):
            if (status := key.data.status()) is not None:
                found.append((status, time.perf_counter() - key.data.begun))
                idle.append(key.data)
                busy -= 1
        now = time.perf_counter()
    for connection in idle:
        connection.socket.close()
    return found, time.process_time() - spent


def in_process(*arguments: Any) -> tuple[list[tuple[int, float]], float]:
    """`load` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(load, arguments)


def raw(model: Path, photos: Sequence[bytes], seconds: float) -> tuple[float, float]:
    """Photos a second, and processor time of one in ms, of ONNX Runtime with decoding without HTTP."""
    code = (
        "import sys, time, pickle, itertools\n"
        "from rehead.classification.predictor import load_model\n"
        "from rehead.core.parallel import map_in_order\n"
        "photos, seconds = pickle.load(sys.stdin.buffer)\n"
        "model = load_model(sys.argv[1], threads=1)\n"
        "session = model._session\n"
        "def run(photo):\n"
        "    pixels = model._pixels(photo)\n"
        "    return session.run(['probabilities', 'outlier_score', 'features'], {'image': pixels[None]})\n"
        "run(photos[0])\n"
        "begun, spent = time.perf_counter(), time.process_time()\n"
        "going = lambda _: time.perf_counter() - begun < seconds\n"
        "feed = itertools.takewhile(going, itertools.cycle(photos))\n"
        "done = sum(1 for _ in map_in_order(run, feed))\n"
        "print(done / (time.perf_counter() - begun), 1000 * (time.process_time() - spent) / done)\n"
    )
    import pickle

    command = [sys.executable, "-c", code, str(model)]
    done = subprocess.run(
        command, input=pickle.dumps((list(photos), seconds)), capture_output=True, check=True
    )
    rate, cost = map(float, done.stdout.split())
    return rate, cost


class Service:
    """A service in a process of its own."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.process.kill)  # whatever ends the benchmark
        self.port = port
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - self.begun > 120:
                    raise
                time.sleep(0.005)
        self.started = time.perf_counter() - self.begun

    def ticks(self) -> float:
        """Processor time so far, its children's too, in seconds."""
        total = 0.0
        for pid in [self.process.pid, *self._children()]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return total

    def _children(self) -> list[int]:
        found, known = [], {self.process.pid}
        for stat in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in known:
                known.add(int(stat.parent.name))
                found.append(int(stat.parent.name))
        return found

    def memory(self) -> float:
        """Resident megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def stop(self) -> None:
        """End it as a service manager would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def rehead(model: Path, *options: str) -> Service:
    port = free_port()
    command = [sys.executable, "-m", "rehead", "serve", str(model), "--port", str(port), *options]
    return Service(command, port)


def quantile(found: Sequence[tuple[int, float]], share: float) -> float:
    """Milliseconds that this share of the answers took at most."""
    times = sorted(seconds for _, seconds in found)
    return 1000 * times[min(len(times) - 1, int(share * len(times)))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--requests", type=int, default=20_000, help="for the memory; 0 leaves it out")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    photos = [path.read_bytes() for path in asked.photos]
    requests, size = requests_of(photos), sum(map(len, photos)) / len(photos)
    print(f"{len(photos)} photos of {size / 1000:.0f} kB, {os.cpu_count()} processors")

    service = rehead(asked.model)
    print(f"start to ready: {service.started:.2f} s")
    load(service.port, requests, 2.0, None, _CONNECTIONS)
    full, ratios, costs = list[float](), list[float](), list[float]()
    latencies: dict[str, list[tuple[int, float]]] = {"alone": [], "half load": [], "full load": []}
    for _ in range(asked.turns):
        bare, cost = raw(asked.model, photos, asked.seconds)
        before = service.ticks()
        found, spent = in_process(service.port, requests, asked.seconds, None, _CONNECTIONS)
        full.append(len(found) / asked.seconds)
        ratios.append(full[-1] / bare)
        taken, sent = (service.ticks() - before) / len(found) * 1000, 1000 * spent / len(found)
        costs.append(cost / (taken + sent))
        print(
            f"  raw {bare:.0f}/s, service {full[-1]:.0f}/s; a photo takes {cost:.2f} ms of processors raw, "
            f"{taken:.2f} in the service and {sent:.2f} in the client"
        )
        latencies["full load"] += found
        latencies["alone"] += in_process(service.port, requests, asked.seconds / 2, None, 1)[0]
        latencies["half load"] += in_process(service.port, requests, asked.seconds, full[-1] / 2, 64)[0]
    for name, values in (("throughput", ratios), ("by processor time", costs)):
        print(
            f"{name}, share of raw: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        )
    single = quantile(latencies["alone"], 0.5)
    for name, found in latencies.items():
        p50, p99 = quantile(found, 0.5), quantile(found, 0.99)
        print(
            f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
            f"{p50 / single:.1f} and {p99 / single:.1f} times that of one alone"
        )
    _litserve(asked, service.port, photos)
    service.stop()
    _overload(asked.model, requests, asked.seconds, 3 * statistics.median(full))
    if asked.requests:
        _memory(asked.model, requests, asked.requests)


def _litserve(asked: argparse.Namespace, port: int, photos: Sequence[bytes]) -> None:
    if importlib.util.find_spec("litserve") is None:
        print("LitServe is not installed")
        return
    requests = requests_of(photos, json=True)
    with tempfile.TemporaryDirectory() as folder:
        script, other = Path(folder) / "litserve_api.py", free_port()
        script.write_text(_LITSERVE, "utf-8")
        command = [sys.executable, str(script), str(asked.model), str(other), str(os.cpu_count())]
        service = Service(command, other)
        while load(other, requests, 1.0, None, 1, 1)[0][0][0] != 200:  # its workers are not there yet
            time.sleep(0.5)
        print(f"LitServe, start to ready: {time.perf_counter() - service.begun:.2f} s")
        load(other, requests, 2.0, None, _CONNECTIONS)
        pairs, costs, times = list[float](), list[float](), list[float]()
        for _ in range(asked.turns):
            found, _ = in_process(port, requests, asked.seconds, None, _CONNECTIONS)
            before = service.ticks()
            peers, _ = in_process(other, requests, asked.seconds, None, _CONNECTIONS)
            pairs.append(len(found) / len(peers))
            costs.append((service.ticks() - before) / len(peers) * 1000)
            times.append(quantile(peers, 0.99) / quantile(found, 0.99))
        print(
            f"throughput, of LitServe's, photos as JSON: {statistics.median(pairs):.2f} "
            f"({min(pairs):.2f} to {max(pairs):.2f}); its p99 is {statistics.median(times):.2f} of ours, a "
            f"photo takes {statistics.median(costs):.2f} ms of processors"
        )
        service.stop()


def _overload(model: Path, requests: Sequence[bytes], seconds: float, rate: float) -> None:
    service = rehead(model, "--queue", "8")
    found, _ = in_process(service.port, requests, seconds, rate, 64)
    refused = [each for each in found if each[0] == 503]
    done = [each for each in found if each[0] == 200]
    print(
        f"overload, {rate:.0f}/s on a queue of 8: {len(done) / seconds:.0f}/s answered, "
        f"{len(refused)} refused in "
        f"p50 {quantile(refused, 0.5):.0f} ms, p99 {quantile(refused, 0.99):.0f} ms"
    )
    found, _ = in_process(service.port, requests, 2.0, None, 2)
    print(f"then on 2 connections: {sum(status != 200 for status, _ in found)} of {len(found)} not answered")
    service.stop()


def _memory(model: Path, requests: Sequence[bytes], count: int) -> None:
    service = rehead(model)
    steps = []
    for _ in range(10):
        in_process(service.port, requests, 1e6, None, _CONNECTIONS, count // 10)
        steps.append(service.memory())
    print(f"memory after each tenth of {count} requests, MB: {' '.join(f'{each:.0f}' for each in steps)}")
    service.stop()


if __name__ == "__main__":
    main()
