"""A process of its own in which SentencePiece learns a vocabulary.

For lack of memory SentencePiece aborts the process that it runs in, and Ctrl-C does not reach it.
The file is also what runs there, without the rest of the package: it reads a line of JSON with the
options and one for each sentence, and writes + and the model, or - and what is wrong.
"""

import contextlib
import ctypes
import io
import json
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent ends


def learned(sentences, options):
    """(whether it went well, the model or what is wrong, in bytes).

    sentences: an iterable of str.  options: of SentencePieceTrainer.  MemoryError where the process
    was aborted or killed.
    """
    apart = {} if os.name == "nt" else {"process_group": 0}  # Ctrl-C is for its parent alone
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **apart
    )
    try:
        with contextlib.suppress(BrokenPipeError):  # it has died, as its exit code says
            order = {"path": sys.path, "parent": os.getpid(), "options": options}
            process.stdin.write(json.dumps(order).encode() + b"\n")
            for sentence in sentences:
                process.stdin.write(json.dumps(sentence).encode() + b"\n")
            process.stdin.close()
        answer = process.stdout.read()
    except BaseException:
        process.kill()
        raise
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        code = process.wait()
    if code or not answer:
        raise MemoryError(f"SentencePiece's process ended with {code}")
    return answer[:1] == b"+", answer[1:]


def main():
    """In the process."""
    order = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = order["path"]
    _end_with(order["parent"])
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    sentences = (json.loads(line) for line in sys.stdin.buffer)
    try:
        SentencePieceTrainer.train(
            sentence_iterator=sentences, model_writer=model, **order["options"]
        )
        answer = b"+" + model.getvalue()
    except (RuntimeError, SystemError) as error:  # sentencepiece 0.2.0 fails with a SystemError
        answer = b"-" + str(error).encode(errors="replace")
    sys.stdout.buffer.write(answer)


def _end_with(parent):
    """End this process when its parent ends, where the system can do that."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        sys.exit(1)


if __name__ == "__main__":
    main()
