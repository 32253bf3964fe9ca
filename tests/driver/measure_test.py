#!/usr/bin/env python3
"""weft bench, weft profile and weft plan --svg: what they say of a model whose work is known, and their files."""
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

WEFT = os.environ["WEFT"]
failures = []


def check(truth, what, seen=""):
    if not truth:
        failures.append(what)
        print("FAILED:", what, seen, flush=True)


def weft(*words):
    done = subprocess.run([WEFT, *words, "--cache", "off"] if words[0] != "plan" else [WEFT, *words], capture_output=True,
                          text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


MODEL = """use nn
model M() {
  let a = nn.Linear(64)
  let b = nn.Linear(64)
  fn f(x: f32[B, 32]) -> f32[B, 64] {
    y = x |> a
    loop i in 0..3 {
      y = tanh(b(y))
    }
    return y
  }
  fn g(x: f32[B, 8]) -> f32[B, 8] = exp(x)
}
"""

work = tempfile.TemporaryDirectory()
model = os.path.join(work.name, "m<&.weft")
with open(model, "w") as file:
    file.write(MODEL)
page, trace, picture = (os.path.join(work.name, n) for n in ("p.html", "t.json", "p.svg"))

status, out, err = weft("bench", model + ":f", "--shape", "B=4", "--threads", "1", "--json", "--runs", "25")
check(status == 0, "bench", err)
said = json.loads(out)
products = 2 * 4 * 64 * 32 + 3 * 2 * 4 * 64 * 64
check(products < said["flops"] < 1.3 * products, "bench counts the products of three turns", said["flops"])
check(said["runs"] == 25 and said["low"] <= said["seconds"] <= said["high"], "quartiles hold the median", out)
check(0 < said["gflops"] < said["peak_gflops"], "below the peak", out)
check(said["resident"] > said["weights"] > 4 * (64 * 32 + 64 * 64), "memory", out)
status, out, err = weft("bench", model + ":f", "--shape", "B=4", "--runs", "11")
check(status == 0 and "quartiles" in out and "GFLOP/s of an FMA loop" in out, "bench for people", out + err)
status, out, err = weft("bench", model + ":f")
check(status == 1 and "--shape NAME=SIZE" in err, "bench wants sizes", err)
status, out, err = weft("bench", model + ":f", "--shape", "B=4,8")
check(status == 1 and "one size at a time" in err, "bench takes one size", err)
status, out, err = weft("bench", model, "--shape", "B=4")
check(status == 1 and "say which" in err, "bench takes one entry", err)

status, out, err = weft("profile", model + ":f", "--shape", "B=4", "--runs", "7", "--json", "--html", page, "--trace", trace)
check(status == 0, "profile", err)
said = json.loads(out)
check(abs(sum(k["seconds"] for k in said["kernels"]) - said["seconds"]) < 1e-9, "kernels add up", out)
check(abs(sum(k["seconds"] for k in said["lines"]) - said["seconds"]) < 1e-9, "lines add up", out)
calls = {k["line"].rsplit(":", 1)[1]: k["calls"] for k in said["kernels"] if k["flops"] > 1000}
check(calls.get("6") == 1 and calls.get("8") == 3, "calls by line: the loop's kernel runs three times", calls)
events = json.load(open(trace))["traceEvents"]
check(len(events) == sum(k["calls"] for k in said["kernels"]), "the trace has an event for each call", len(events))
check(all(a["ts"] + a["dur"] <= b["ts"] + 1e-3 for a, b in zip(events, events[1:])), "events follow each other")
text = open(page).read()
data = json.loads(re.search(r"const data=(.*);\n", text).group(1))
check("M.f" in [c["n"] for c in data["c"]], "the flame graph begins with the entry", data)
check("m<&" not in text and "http" not in text, "the page stands alone, and names are escaped")
status, out, err = weft("profile", model + ":f", "--shape", "B=4", "--runs", "0")
check(status == 2 and "--runs" in err, "no run is no measurement", err)
status, out, err = weft("profile", model + ":f", "--shape", "B=4", "--runs", "2")
check(status == 0 and "in kernels" in out and "m<&.weft:8" in out, "profile for people", out + err)
status, out, err = weft("profile", model + ":f", "--shape", "B=4", "-q", "--runs", "1", "--html", "/nonexistent/p.html")
check(status == 1 and "/nonexistent/p.html" in err, "a page that cannot be written", err)

status, out, err = weft("plan", model + ":f", "--shape", "B=4", "--svg", picture)
check(status == 0, "plan --svg", err)
root = xml.etree.ElementTree.parse(picture).getroot()
titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}title")]
buffers = int(re.search(r"(\d+) buffers", out).group(1))
check(len(titles) == buffers > 0, "a title for each buffer", titles)
check(any("m<&.weft:7" in t for t in titles), "titles name the line", titles)
status, out, err = weft("plan", model, "--shape", "B=4", "--svg", picture)
check(status == 1 and "--svg draws one entry" in err, "a picture of one entry", err)

work.cleanup()
sys.exit(1 if failures else 0)
