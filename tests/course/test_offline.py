"""No test touches the network, and nothing that a test starts does."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest

from rlcourse.execute import run_notebook

CONNECT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"  # an address that is nobody's
RULE = r"tests use no network \(tests/offline/sitecustomize.py\).*"


def tcp(address):
    with socket.socket() as wire:
        wire.settimeout(1)
        wire.connect(address)


def tcp_quietly(address):
    with socket.socket() as wire:
        wire.settimeout(1)
        wire.connect_ex(address)


def udp(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(b"", address)


@pytest.mark.parametrize("reach", [tcp, tcp_quietly, udp, socket.create_connection])
def test_another_machine_cannot_be_reached(reach):
    with pytest.raises(RuntimeError, match=RULE + r"192\.0\.2\.1"):
        reach(("192.0.2.1", 80))


@pytest.mark.parametrize("ask", [lambda name: socket.getaddrinfo(name, 443), socket.gethostbyname])
def test_no_name_is_looked_up(ask):
    with pytest.raises(RuntimeError, match=RULE + "huggingface.co"):
        ask("huggingface.co")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_can_be_reached(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=lambda: server.accept()[0].sendall(b"yes"))
        answer.start()
        with socket.create_connection((host, server.getsockname()[1]), timeout=5) as wire:
            assert wire.recv(3) == b"yes"
        answer.join()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_socket_that_is_a_file_can_be_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path may have no more than 108 bytes
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen()
        client.connect("socket")


def test_a_program_that_a_test_starts_is_held_to_it():
    result = subprocess.run([sys.executable, "-c", CONNECT], capture_output=True, text=True)
    assert result.returncode == 1
    assert "tests use no network" in result.stderr


def test_a_notebook_is_held_to_it_and_told_to_be_offline():
    cells = [CONNECT, "import os; print(os.environ['HF_HUB_OFFLINE'], os.environ['HF_DATASETS_OFFLINE'])"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    run_notebook(book, Path(__file__).with_name("none.ipynb"), Path.cwd(), allow_errors=True)
    assert book.cells[0].outputs[0].evalue.startswith("tests use no network")
    assert book.cells[1].outputs[0].text == "1 1\n"


def test_transformers_knows_that_it_is_offline():
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"
    from transformers.utils.hub import is_offline_mode

    assert is_offline_mode()
