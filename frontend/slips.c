/* frontend/slips.c: hints for those who know another language. A row fits when all that it names fits: the
 * first word of the statement, the token before the one that surprised the parser, that token, and the one
 * after it. */
#include "frontend/grammar.tab.h"
#include "frontend/token.h"

#include <string.h>

struct slip {
    const char *head, *before, *found, *after; /* NULL: any */
    const char *hint;
};
static const struct slip slips[] = {
    {"if", 0, "=", 0, "to compare, write `==`"},
    {"when", 0, "=", 0, "to compare, write `==`"},
    {"while", 0, "=", 0, "to compare, write `==`"},
    {"assert", 0, "=", 0, "to compare, write `==`"},
    {0, "def", 0, 0, "a function begins with `fn`"},
    {0, "func", 0, 0, "a function begins with `fn`"},
    {0, "function", 0, 0, "a function begins with `fn`"},
    {0, "class", 0, 0,
     "a `module` has parameters and functions; `model` is one that can be trained and compiled"},
    {0, "struct", 0, 0, "records are named tuples: (mean: m, logvar: v)"},
    {0, "model", 0, 0, "the name of a model begins with an upper-case letter"},
    {0, "module", 0, 0, "the name of a module begins with an upper-case letter"},
    {0, "optimizer", 0, 0, "the name of an optimizer begins with an upper-case letter"},
    {0, "train", 0, 0, "a training step is declared as `train step(x: f32[B, 784]) { ... }`"},
    {0, "elif", 0, 0, "write `else if`"},
    {0, 0, "elif", 0, "write `else if`"},
    {0, "elseif", 0, 0, "write `else if`"},
    {0, 0, "elseif", 0, "write `else if`"},
    {0, "import", 0, 0, "write `use nn`, or `use unet: UNet` for names of it"},
    {0, "from", 0, 0, "write `use unet: UNet`"},
    {0, "include", 0, 0, "write `use nn`"},
    {0, "var", 0, 0, "assignment makes a name: x = 1"},
    {0, "mut", 0, 0, "every name may be assigned again: x = 1"},
    {0, "lambda", 0, 0, "a function without a name is written fn(x) => x + 1"},
    {0, "switch", 0, 0, "write `if` and `else if`"},
    {0, "match", 0, 0, "write `if` and `else if`"},
    {0, "print", 0, 0, "print is a function: print(x, \"label\")"},
    {0, "del", 0, 0, "nothing needs to be deleted"},
    {0, "global", 0, 0, "state that outlives a call is a `buffer` of a module, changed with `update`"},
    {0, 0, "while", 0,
     "a loop at run time is written `loop while condition { ... }`, or `loop i in 0..n { ... }`"},
    {0, "while", 0, 0, "a loop at run time is written `loop while condition { ... }`"},
    {"if", 0, ":", 0, "the branches stand in braces: if c { ... } else { ... }"},
    {"when", 0, ":", 0, "the branches stand in braces: when c { ... } else { ... }"},
    {"for", 0, ":", 0, "the body stands in braces: for x in list { ... }"},
    {"loop", 0, ":", 0, "the body stands in braces: loop i in 0..n { ... }"},
    {"for", 0, ";", 0, "write `for i in 0..n { ... }`"},
    {"for", 0, "...", 0, "a range is written with two points: 0..n, and leaves out its end"},
    {"loop", 0, "...", 0, "a range is written with two points: 0..n, and leaves out its end"},
    {"fn", ")", ":", 0, "the result stands after an arrow: fn f(x: f32[B]) -> f32[B]"},
    {"fn", ")", "=>", 0, "a declared function is written fn f(x) = ...; only one without a name has `=>`"},
    {"report", 0, ":", 0, "a report is named with `=`: report loss = mean(l)"},
    {"let", 0, ":", 0, "a member is declared with `=`: let conv = nn.Conv2d(64, 3)"},
    {"minimize", 0, "}", 0, "a minimize says with what: minimize loss using nn.Adam(lr: 1e-3)"},
    {"minimize", 0, 0, 0,
     "a minimize reads: minimize LOSS over WEIGHTS using OPTIMIZER; over may be left out"},
    {"update", 0, 0, 0, "an update assigns: update count += 1"},
    {"const", 0, 0, 0, "a constant is written: const n = 2 * size"},
    {0, 0, "+", "+", "write `x += 1`"},
    {0, 0, "-", "-", "write `x -= 1`"},
    {0, 0, "?", 0, "a choice is written: if c { a } else { b }"},
    {0, 0, "let", 0, "let declares a member of a module; in a function write x = 1"},
    {0, 0, "return", 0, "a `return` belongs to the body of a function"},
    {0, 0, "param", 0, "weights are declared in the body of a module"},
    {0, 0, "buffer", 0, "buffers are declared in the body of a module"},
    {0, 0, "use", 0, "`use` stands at the top of a file"},
    {0, 0, "train", 0, "`train` is declared in the body of a model"},
    {0, 0, "->", 0, "a function without a name is written fn(x) => x + 1"},
};

/* Inside ( and [ an "=" is what Python writes in f(axis=1). */
static bool is_named_argument(const struct tokens *tokens, int found) {
    return tokens->at[found].kind == '=' && found > 0 && tokens->at[found - 1].kind == ID;
}

static bool token_is(const struct tokens *tokens, int at, const char *text) {
    if (!text)
        return true;
    if (at < 0 || at >= tokens->count)
        return false;
    struct span span = tokens->at[at].span;
    size_t length = span.end - span.begin;
    return length == strlen(text) && memcmp(span.source->text + span.begin, text, length) == 0;
}

/* The first token of the statement that holds `at`: behind the NL or brace before it, at the same level of
 * brackets. */
static int statement_head(const struct tokens *tokens, int at) {
    int i = at;
    while (i > 0) {
        int kind = tokens->at[i - 1].kind;
        if (kind == NL || kind == '{')
            break;
        i = token_closes(kind) ? tokens->at[i - 1].match : i - 1;
    }
    return i;
}

const char *slip_hint(const struct tokens *tokens, int found) {
    int head = statement_head(tokens, found);
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        const struct slip *s = &slips[i];
        if ((!s->head || head < found) && token_is(tokens, head, s->head) &&
            token_is(tokens, found - 1, s->before) && token_is(tokens, found, s->found) &&
            token_is(tokens, found + 1, s->after))
            return s->hint;
    }
    if (is_named_argument(tokens, found))
        return "a named argument is written with `:`, f(axis: 1)";
    return NULL;
}
