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
    {0, "=>", "{", 0,
     "a function without a name has one expression behind `=>`: what takes statements is a `fn` with a name"},
    {0, 0, "=>", "{",
     "a function without a name is written fn(x) => x + 1; what takes statements is a `fn` with a name"},
    {0, "|>", "fn", 0, "in a chain, a function without a name stands in parentheses: x |> (fn(y) => y + 1)"},
    {"report", 0, ":", 0, "a report is named with `=`: report loss = mean(l)"},
    {"let", 0, ":", 0, "a member is declared with `=`: let conv = nn.Conv2d(64, 3)"},
    {"minimize", 0, "}", 0, "a minimize says with what: minimize loss using nn.Adam(lr: 1e-3)"},
    {"minimize", 0, 0, 0,
     "a minimize reads: minimize LOSS over WEIGHTS using OPTIMIZER; over may be left out"},
    {"update", 0, 0, 0, "an update assigns: update count += 1"},
    {"const", 0, 0, 0, "a constant is written: const n = 2 * size"},
    {"with", 0, ".", 0,
     "`with` sets an ambient: with training: false { ... }; only `minimize` and `grad` take gradients"},
    {"with", 0, "(", 0,
     "`with` sets an ambient: with training: false { ... }; only `minimize` and `grad` take gradients"},
    {"for", 0, ",", 0, "a pair stands in parentheses: for (i, x) in enumerate(list) { ... }"},
    {"param", 0, "=", 0, "a weight has a type: param w: f32[3] = 0"},
    {"buffer", 0, "=", 0, "a buffer has a type: buffer m: f32[3] = 0"},
    {"fn", "]", ",", 0, "several results stand in parentheses: -> (mean: f32[B], logvar: f32[B])"},
    {0, 0, "=>", 0, "a function without a name is written fn(x) => x + 1"},
    {0, "try", "{", 0, "there are no exceptions: assert says what must hold"},
    {0, "torch", ".", 0, "a type is written without a module in front: f32[B, 3]"},
    {0, "np", ".", 0, "a type is written without a module in front: f32[B, 3]"},
    {0, "jnp", ".", 0, "a type is written without a module in front: f32[B, 3]"},
    {0, "=", "{", 0, "a body in braces has no `=` in front; a record is a named tuple: (mean: m, logvar: v)"},
    {0, "return", "{", 0, "a record is a named tuple: (mean: m, logvar: v)"},
    {0, "(", "{", 0, "a record is a named tuple: (mean: m, logvar: v)"},
    {0, ",", "{", 0, "a record is a named tuple: (mean: m, logvar: v)"},
    {0, "[", "*", 0, "lists are joined with `+`: x.shape + [1]"},
    {0, ",", "*", 0, "lists are joined with `+`: [1] + x.shape"},
    {0, "(", "*", 0, "a list of arguments is given as a list"},
    {0, 0, "is", 0, "to compare, write == none or != none"},
    {0, "is", 0, 0, "to compare, write == none or != none"},
    {0, 0, "if", 0, "a choice is written: if c { a } else { b }"},
    {0, 0, "+", "+", "write `x += 1`"},
    {0, 0, "-", "-", "write `x -= 1`"},
    {0, 0, "?", 0, "a choice is written: if c { a } else { b }"},
    {0, 0, "fn", 0, "a function inside of a function has no name of its own: g = fn(y) => y + 1"},
    {0, 0, "module", 0, "modules are declared at the top of a file, or in a module"},
    {0, 0, "let", 0,
     "let declares a member, outside of `if` and `for`: one that is never read has no weights; in a function "
     "write x = 1"},
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

/* if (c) x else y, when (c) x else y */
static bool is_choice_without_braces(const struct tokens *tokens, int found) {
    if (found < 1 || tokens->at[found - 1].kind != ')')
        return false;
    int before = tokens->at[found - 1].match - 1;
    return before >= 0 && (tokens->at[before].kind == IF || tokens->at[before].kind == WHEN);
}

/* fn(y) { return y + 1 } */
static bool is_nameless_body(const struct tokens *tokens, int found) {
    int before = found > 0 && tokens->at[found - 1].kind == ')' ? tokens->at[found - 1].match - 1 : -1;
    return tokens->at[found].kind == '{' && before >= 0 && tokens->at[before].kind == FN;
}

/* fn f(x) => x + 1 */
static bool is_declared_arrow(const struct tokens *tokens, int found) {
    int before = found > 0 && tokens->at[found - 1].kind == ')' ? tokens->at[found - 1].match - 2 : -1;
    return tokens->at[found].kind == FATARROW && before >= 0 && tokens->at[before].kind == FN;
}

/* f"{x}", r"..." */
static bool is_prefixed_string(const struct tokens *tokens, int found) {
    return tokens->at[found].kind == STR && found > 0 && tokens->at[found - 1].kind == ID &&
           tokens->at[found - 1].span.end == tokens->at[found].span.begin;
}

/* Whether the separator at `at` is a `;`. */
static bool ends_with_semicolon(const struct tokens *tokens, int at) {
    struct span span = at >= 0 ? tokens->at[at].span : (struct span){0};
    return at >= 0 && tokens->at[at].kind == NL && span.source->text[span.begin] == ';';
}

/* Slips that are no words. */
static const char *shape_of_slip(const struct tokens *tokens, int found, int head) {
    if (is_named_argument(tokens, found))
        return "a named argument is written with `:`, f(axis: 1)";
    if (is_choice_without_braces(tokens, found))
        return "both sides stand in braces: if c { a } else { b }";
    if (is_nameless_body(tokens, found))
        return "a function without a name is written fn(x) => x + 1; what takes statements is a `fn` with a "
               "name";
    if (is_prefixed_string(tokens, found))
        return "{x} is replaced in every string, without a letter in front";
    if (tokens->at[found].kind == STR && found == head)
        return "documentation stands in lines that begin with ///";
    if (tokens->at[found].kind == '(' && found > 0 && tokens->at[found - 1].kind == DTYPE)
        return "a shape stands in square brackets: f32[B, 3]";
    if (tokens->at[found].kind == ',' && found == head + 1 && tokens->at[head].kind == ID)
        return "several names stand in parentheses: (a, b) = x.shape";
    if (tokens->at[found].kind == '}' && ends_with_semicolon(tokens, found - 1))
        return "a `;` stands between two statements: leave out the last";
    return NULL;
}

const char *slip_hint(const struct tokens *tokens, int found) {
    int head = statement_head(tokens, found);
    if (is_declared_arrow(tokens, found))
        return "a declared function is written fn f(x) = ...; only one without a name has `=>`";
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++) {
        const struct slip *s = &slips[i];
        if ((!s->head || head < found) && token_is(tokens, head, s->head) &&
            token_is(tokens, found - 1, s->before) && token_is(tokens, found, s->found) &&
            token_is(tokens, found + 1, s->after))
            return s->hint;
    }
    return shape_of_slip(tokens, found, head);
}
