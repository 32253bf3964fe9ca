#!/usr/bin/env python3
"""docs/tour.md, as its reader goes through it, in one folder:

    ```weft NAME.weft, ```yaml NAME.yaml, ```c NAME.c   the block is written to that file
    ```console                                          `$ command` lines are run; what stands behind each is its output
    ```repl                                             `weft> ` lines are typed into one session; likewise

Texts must be equal; numbers may be 5 % apart (other machines round otherwise, and training makes much of it); `...` stands for anything.
WEFT_GOLDEN=1 writes the outputs anew, but for those with `...`. Without MNIST the tour ends where it is wanted."""
import os
import re
import subprocess
import sys
import tempfile

WEFT, ROOT = os.environ["WEFT"], os.environ["SOURCE_DIR"]
PAGE = os.path.join(ROOT, "docs/tour.md")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
failures = []


def piece_fits(expected, found):
    """Texts between the numbers are equal, numbers are near."""
    if NUMBER.sub("#", expected) != NUMBER.sub("#", found):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(found))
    return all(abs(float(a) - float(b)) <= 0.05 * abs(float(a)) + 1e-6 for a, b in pairs)


def fits(expected, found):
    if "..." not in expected:
        return piece_fits(expected, found)
    head, rest = expected.split("...", 1)
    if not piece_fits(head, found[:len(head)]) and not found.startswith(head):
        return False
    if not rest.strip():
        return True
    return any(fits(rest, found[at:]) for at in range(len(head), len(found) + 1))


class Session:
    """weft repl through a pipe. A text in quotes, which the REPL gives back, marks where an output ends."""

    def __init__(self, folder, environment):
        self.process = subprocess.Popen([WEFT, "repl"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.turns = 0

    def enter(self, text):
        self.turns += 1
        mark = f"@turn {self.turns}@"
        self.process.stdin.write(f'{text}\n"{mark}"\n')
        self.process.stdin.flush()
        out = ""
        while True:
            line = self.process.stdout.readline()
            if not line or line == mark + "\n":
                return re.sub(r"<repl:\d+>", "<repl:1>", out)
            out += line


def turns_of(block, prompt, more):
    """(what is typed, what comes) of a block; what is typed keeps its prompts in `shown`."""
    turns = []
    for line in block.splitlines():
        if line.startswith(prompt):
            turns.append([line[len(prompt):], "", line + "\n"])
        elif line.startswith(more) and not turns[-1][1]:
            turns[-1][0] += "\n" + line[len(more):]
            turns[-1][2] += line + "\n"
        else:
            turns[-1][1] += line + "\n"
    return turns


def run_turns(block, prompt, more, run):
    fresh = ""
    for typed, expected, shown in turns_of(block, prompt, more):
        found = run(typed)
        if not fits(expected, found):
            failures.append(typed)
            print(f"FAILED: {typed}\n--- the page has\n{expected}--- this is\n{found}", flush=True)
        fresh += shown + (expected if "..." in expected else found)
    return fresh


def main():
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    data = os.path.join(os.environ.get("WEFT_DATA", ""), "mnist")
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, PATH=f"{os.path.dirname(WEFT)}:{os.environ['PATH']}", XDG_CACHE_HOME=folder + "/.cache", LC_ALL="C")
        session = Session(folder, environment)
        if os.path.isdir(data):
            os.symlink(data, folder + "/mnist")

        def shell(command):
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=280)
            return done.stdout

        fresh, at, is_over = "", 0, False
        for block in re.finditer(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", page, re.M):
            language, name, text = block.groups()
            is_over |= language == "console" and "weft train" in text and not os.path.isdir(data)
            if name and re.fullmatch(r"\w+\.\w+", name):
                with open(os.path.join(folder, name), "w") as file:
                    file.write(text)
            elif language == "repl" and not is_over:
                text = run_turns(text, "weft> ", "  ... ", session.enter)
            elif language == "console" and not is_over:
                text = run_turns(text, "$ ", "> ", shell)
            fresh += page[at:block.start(3)] + text
            at = block.end(3)
        fresh += page[at:]
        session.process.stdin.close()
        if session.process.wait(60) != 0:
            failures.append("the session's status")
    if os.environ.get("WEFT_GOLDEN") == "1" and not is_over:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(fresh)
    elif failures:
        sys.exit(1)


main()
