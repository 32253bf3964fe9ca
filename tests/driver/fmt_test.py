#!/usr/bin/env python3
"""weft fmt: in place, --check, --diff, through a pipe, --lets; the text means the same afterwards; the pages' blocks keep to it."""
import glob
import os
import re
import subprocess
import sys
import tempfile

WEFT, ROOT = os.environ["WEFT"], os.environ["SOURCE_DIR"]
failures = []


def check(truth, what, seen=""):
    if not truth:
        failures.append(what)
        print("FAILED:", what, seen, flush=True)


def weft(*words, text=None):
    done = subprocess.run([WEFT, *words], input=text, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


UGLY = """use nn
model   M( hidden:int=3 ){
    let x=[nn.Linear(hidden),relu]   // kept
  fn f(a:f32[B,4])->f32[B,_]{ b=x(a)


     return b |> nn.Linear(hidden*2)|>tanh }  }
"""
NEAT = """use nn
model M(hidden: int = 3) {
  let x = [nn.Linear(hidden), relu]  // kept
  fn f(a: f32[B, 4]) -> f32[B, _] {
    b = x(a)

    return b |> nn.Linear(hidden * 2) |> tanh
  }
}
"""
NAMED = NEAT.replace("// kept\n", "// kept\n  let linear_0 = nn.Linear(hidden * 2)\n").replace("b |> nn.Linear(hidden * 2)", "b |> linear_0")


def without_places(ir):
    return re.sub(r"\s*//.*", "", re.sub(r'"[^"]*:\d+:\d+"', "", ir))


with tempfile.TemporaryDirectory() as folder:
    path = folder + "/m.weft"

    def write(text):
        with open(path, "w") as file:
            file.write(text)

    def read():
        with open(path) as file:
            return file.read()

    write(UGLY)
    status, out, errors = weft("fmt", "--check", path)
    check(status == 1 and path in errors and read() == UGLY, "--check names the file and leaves it", errors)
    status, patch, _ = weft("fmt", "--diff", path)
    check(status == 0 and read() == UGLY, "--diff leaves the file")
    check(weft("fmt", "--diff", "--check", path)[0] == 1, "--diff --check has a status")
    check(patch.startswith(f"--- {path}\n+++ {path}\n@@ -1,7 +1,9 @@\n use nn\n-model   M"), "--diff", patch)
    check(weft("fmt", "-", text=UGLY)[:2] == (0, NEAT), "through a pipe", weft("fmt", "-", text=UGLY))
    before = weft("dump", path, "--after", "elaborate")[1]
    status, out, _ = weft("fmt", path)
    check(status == 0 and out == path + "\n" and read() == NEAT, "in place", read())
    check(weft("fmt", path)[:2] == (0, ""), "a second run changes nothing")
    check(weft("fmt", "--check", path)[0] == 0 and weft("fmt", "--diff", path)[1] == "", "a formatted text")
    after = weft("dump", path, "--after", "elaborate")[1]
    check(len(before) > 200 and without_places(before) == without_places(after), "the same graph", (before, after))
    names = weft("check", "--names", path)[1]
    check(weft("fmt", "--lets", path)[0] == 0 and read() == NAMED, "--lets", read())
    check(sorted(weft("check", "--names", path)[1].split("\n")) == sorted(names.split("\n")), "--lets keeps the names of the weights")
    write("fn f(\n")
    status, out, errors = weft("fmt", path)
    check(status == 1 and "E0103" in errors and read() == "fn f(\n", "a broken text", errors)
    check(weft("fmt", "-", text="fn f(")[:2] == (1, ""), "a broken text through a pipe")
    check(weft("fmt", folder + "/none.weft")[0] == 1 and weft("fmt")[0] == 2, "no file")

# The blocks of the pages are in the style, one by one; those that show mistakes are the author's.
for page in glob.glob(ROOT + "/docs/*.md"):
    with open(page, encoding="utf-8") as file:
        blocks = re.findall(r"^```weft\n(.*?)^```", file.read(), re.M | re.S)
    if blocks:
        whole = "\n".join(blocks)
        status, out, errors = weft("fmt", "--diff", "--check", "-", text=whole)
        check(status == 0, f"the blocks of {page} are formatted", out + errors)
sys.exit(bool(failures))
