"""The grammar of docs/language.md and the rules of frontend/grammar.y are one language.

Both are read as context-free grammars. Short sentences that cover each, two rules deep, are derived and must be
recognised (Earley 1970) by the other. The table of operators is compared with the precedence lines."""
import os
import re
import sys

ROOT = os.environ["SOURCE_DIR"]
PUNCTUATION = {
    "PIPE": "|>", "ARROW": "->", "FATARROW": "=>", "EQ": "==", "NE": "!=", "LE": "<=", "GE": ">=", "RANGE": "..",
    "ELLIPSIS": "...", "ADD_SET": "+=", "SUB_SET": "-=", "MUL_SET": "*=", "DIV_SET": "/=", "NOT_IN": "not in",
}
CLASSES = {"ID", "NUM", "STR", "DTYPE", "NL"}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


# ---- grammar.y: alternatives without actions, labels and error rules ----

def without_actions(text):
    out, depth, i = [], 0, 0
    while i < len(text):
        quoted = re.match(r"'[^']+'|\"[^\"]*\"", text[i:])
        if quoted and depth == 0:
            out.append(quoted.group())
            i += quoted.end()
            continue
        depth += text[i] == "{"
        if depth == 0:
            out.append(text[i])
        depth -= text[i] == "}"
        i += 1
    return "".join(out)


def terminal_of(word):
    if word[0] == "'":
        return '"%s"' % word[1:-1]
    if word in CLASSES:
        return word
    if word.isupper():
        return '"%s"' % PUNCTUATION.get(word, word.lower())
    return word


def read_bison(text):
    body = re.sub(r"/\*.*?\*/", "", text.split("\n%%\n")[1], flags=re.S)
    body = re.sub(r"(?<=\w)\[\w+\]|%prec \w+|%empty", "", without_actions(body))
    rules, broken = {}, {"error"}
    for rule in re.findall(r"(\w+):((?:'[^']+'|[^;'])*);", body):
        for alternative in re.findall(r"(?:'[^']+'|[^|'])+", rule[1]):
            words = re.findall(r"'[^']+'|\w+", alternative)
            if not broken & set(words):
                rules.setdefault(rule[0], []).append([terminal_of(word) for word in words])
        if rule[0] not in rules:
            broken.add(rule[0])
    return {name: [a for a in alternatives if not broken & set(a)] for name, alternatives in rules.items()}


# ---- EBNF: [ ], { } and ( ) become rules of their own ----

class Ebnf:
    def __init__(self, text):
        self.words = re.findall(r'"[^"]*"|\w+|[=|;\[\](){}]', text)
        self.at = 0
        self.rules = {}
        while self.at < len(self.words):
            name = self.take()
            assert self.take() == "=", name
            self.rules[name] = self.alternatives()
            assert self.take() == ";", name

    def take(self):
        self.at += 1
        return self.words[self.at - 1]

    def alternatives(self):
        result = [[]]
        while self.words[self.at] not in (";", "]", "}", ")"):
            word = self.take()
            if word == "|":
                result.append([])
            elif word in "[{(":
                result[-1].append(self.group(word))
            else:
                result[-1].append(word)
        return result

    def group(self, opener):
        inner = self.alternatives()
        self.take()
        name = "%d" % self.at
        if opener == "[":
            inner = inner + [[]]
        elif opener == "{":
            inner = [alternative + [name] for alternative in inner] + [[]]
        self.rules[name] = inner
        return name


# ---- derivation and recognition ----

def shortest(rules):
    """The shortest sentence of each rule."""
    words = {}
    changed = True
    while changed:
        changed = False
        for name, alternatives in rules.items():
            for alternative in alternatives:
                if any(symbol in rules and symbol not in words for symbol in alternative):
                    continue
                new = sum((words.get(symbol, [symbol]) for symbol in alternative), [])
                if name not in words or len(new) < len(words[name]):
                    words[name] = new
                    changed = True
    return words


def contexts(rules, words):
    """For each rule the words to its left and right in a short sentence: the best way from `file` down to it."""
    found, agenda = {"file": ([], [])}, ["file"]
    while agenda:
        name = agenda.pop(0)
        for alternative in rules[name]:
            for at, symbol in enumerate(alternative):
                if symbol in rules and symbol not in found:
                    before = sum((words.get(s, [s]) for s in alternative[:at]), [])
                    after = sum((words.get(s, [s]) for s in alternative[at + 1:]), [])
                    found[symbol] = (found[name][0] + before, after + found[name][1])
                    agenda.append(symbol)
    return found


def sentences(rules):
    """Each alternative of each rule, with each alternative of each symbol in it; the rest as short as can be."""
    words = shortest(rules)
    for name, (left, right) in contexts(rules, words).items():
        for alternative in rules[name]:
            for at, symbol in enumerate(alternative or [None]):
                before = sum((words.get(s, [s]) for s in alternative[:at]), [])
                after = sum((words.get(s, [s]) for s in alternative[at + 1:]), [])
                for inner in rules.get(symbol, [[symbol] if symbol else []]):
                    middle = sum((words.get(s, [s]) for s in inner), [])
                    yield tuple(left + before + middle + after + right)


def recognises(rules, start, tokens):
    """Earley's algorithm; nullable symbols are stepped over when they are predicted (Aycock & Horspool 2002)."""
    nullable = set()
    while True:
        more = {n for n, alts in rules.items() if any(all(s in nullable for s in a) for a in alts)}
        if more == nullable:
            break
        nullable = more
    chart = [dict() for _ in range(len(tokens) + 1)]
    agenda = [(start, tuple(a), 0, 0) for a in rules[start]]
    for at in range(len(tokens) + 1):
        chart[at] = {}
        waiting = {}
        done = set()
        while agenda:
            item = agenda.pop()
            if item in done:
                continue
            done.add(item)
            name, body, dot, origin = item
            if dot == len(body):
                parents = chart[origin].get(name, []) if origin < at else waiting.get(name, [])
                agenda += [(n, b, d + 1, o) for n, b, d, o in parents]
                continue
            symbol = body[dot]
            waiting.setdefault(symbol, []).append(item)
            if symbol in rules:
                agenda += [(symbol, tuple(a), 0, at) for a in rules[symbol]]
                if symbol in nullable:
                    agenda.append((name, body, dot + 1, origin))
        chart[at] = waiting
        if at == len(tokens):
            return any(n == start and d == len(b) and o == 0 for n, b, d, o in done)
        agenda = [(n, b, d + 1, o) for n, b, d, o in waiting.get(tokens[at], [])]
    return False


def check_direction(source, target, title):
    failures = 0
    for tokens in sorted(set(sentences(source))):
        if not recognises(target, "file", tokens):
            print("%s: %s" % (title, " ".join(tokens)))
            failures += 1
    return failures


# ---- precedence ----

def precedence_of_grammar(text):
    words = {"left": "left", "right": "right", "nonassoc": "not", "precedence": "prefix"}
    rows = []
    for kind, tokens in re.findall(r"^%(left|right|nonassoc|precedence) (.*)$", text, flags=re.M):
        names = ["-" if t == "NEG" else terminal_of(t).strip('"') for t in tokens.split()]
        rows.append((sorted(names), words[kind]))
    return rows


def precedence_of_page(text):
    table = text.split("| operators | associate |")[1].split("\n\n")[0]
    return [(sorted(re.findall(r"`([^`]+)`", row)), how) for row, how in re.findall(r"^\| (`.*`) \| (\w+) \|$", table, flags=re.M)]


def main():
    grammar, page = read("frontend/grammar.y"), read("docs/language.md")
    bison = read_bison(grammar)
    ebnf = Ebnf(re.search(r"```ebnf\n(.*?)```", page, flags=re.S).group(1)).rules
    failures = check_direction(ebnf, bison, "in docs/language.md, not in grammar.y")
    failures += check_direction(bison, ebnf, "in grammar.y, not in docs/language.md")
    if precedence_of_grammar(grammar) != precedence_of_page(page):
        print("the table of operators differs:", precedence_of_grammar(grammar), precedence_of_page(page), sep="\n")
        failures += 1
    # The test must be able to fail: without one alternative the other direction has to notice.
    broken = dict(ebnf, assign=[['"="']])
    if recognises(broken, "file", ["ID", '"+="', "NUM"]) or not recognises(ebnf, "file", ["ID", '"+="', "NUM"]):
        print("the recogniser is broken")
        failures += 1
    sys.exit(failures > 0)


main()
