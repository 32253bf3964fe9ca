#include "driver/command.h"

#include "base/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct option_info options[OPTION_COUNT] = {
#define OPTION(id, letter, argument, repeated, help) {#id, letter, argument, repeated, help},
#include "driver/options.def"
#undef OPTION
};

#define O(id)              (UINT64_C(1) << OPT_##id)
#define COMMAND(name, ...) enum exit_status command_##name(struct invocation *);
#include "driver/commands.def"
#undef COMMAND
const struct command commands[] = {
#define COMMAND(name, synopsis, summary, options, details)                                                   \
    {#name, synopsis, summary, (options) | O(help), details, command_##name},
#include "driver/commands.def"
#undef COMMAND
};
const int command_count = sizeof commands / sizeof commands[0];

/* The long name: the id with '-' for '_'. */
void option_name(const struct option_info *option, char out[32]) {
    int n = 0;
    for (const char *c = option->id; *c && n < 31; c++)
        out[n++] = *c == '_' ? '-' : *c;
    out[n] = 0;
}

static void help_options(FILE *out, const struct command *command) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (!(command->options >> i & 1))
            continue;
        char name[32], left[80], letter[8] = "    ";
        option_name(&options[i], name);
        if (options[i].letter)
            snprintf(letter, sizeof letter, "-%c, ", options[i].letter);
        const char *argument = options[i].argument;
        snprintf(left, sizeof left, "%s--%s%s%s", letter, name, argument ? " " : "",
                 argument ? argument : "");
        fprintf(out, "  %-26s %s%s\n", left, options[i].help,
                options[i].repeated ? " (may be repeated)" : "");
    }
}

void command_help(FILE *out, const struct command *command) {
    if (command) {
        fprintf(out, "usage: weft %s %s\n\n%s.\n%s\noptions:\n", command->name, command->synopsis,
                command->summary, command->details);
        help_options(out, command);
        return;
    }
    fprintf(out, "usage: weft COMMAND ...\n\nWeft compiles and runs generative image models.\n\n");
    for (int i = 0; i < command_count; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "  %-9s %s\n  %-9s %s\n\n", "help", "print this, or the help of a command", "version",
            "print the version");
    fprintf(out,
            "A model is a text file (see docs/tour.md); start with `weft repl`, or `weft help train`.\n");
}

enum exit_status usage_error(const struct invocation *invocation, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "weft: ");
    vfprintf(stderr, format, args);
    va_end(args);
    if (invocation->command)
        fprintf(stderr, "\nusage: weft %s %s   (`weft help %s` lists the options)\n",
                invocation->command->name, invocation->command->synopsis, invocation->command->name);
    else
        fprintf(stderr, "\n`weft help` lists the commands\n");
    return EXIT_USAGE;
}

const struct command *command_find(const char *name) {
    for (int i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

enum exit_status unknown_command(struct invocation *invocation, const char *word) {
    const char **names = ARENA_ARRAY(invocation->arena, const char *, command_count);
    for (int i = 0; i < command_count; i++)
        names[i] = commands[i].name;
    const char *nearest = nearest_name(word, names, command_count);
    return nearest ? usage_error(invocation, "there is no command `%s`; did you mean `%s`?", word, nearest)
                   : usage_error(invocation, "there is no command `%s`", word);
}

static int find_option(const char *name, size_t length) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        char text[32];
        option_name(&options[i], text);
        if (strlen(text) == length && memcmp(text, name, length) == 0)
            return i;
    }
    return -1;
}

static enum exit_status unknown_option(struct invocation *invocation, const char *word) {
    char texts[OPTION_COUNT][32];
    const char *names[OPTION_COUNT];
    int n = 0;
    for (int i = 0; i < OPTION_COUNT; i++)
        if (invocation->command->options >> i & 1) {
            option_name(&options[i], texts[n]);
            names[n] = texts[n];
            n++;
        }
    const char *bare = word + strspn(word, "-");
    const char *nearest = nearest_name(arena_strndup(invocation->arena, bare, strcspn(bare, "=")), names, n);
    return nearest ? usage_error(invocation, "%s has no option `%s`; did you mean `--%s`?",
                                 invocation->command->name, word, nearest)
                   : usage_error(invocation, "%s has no option `%s`", invocation->command->name, word);
}

/* Which option a word like --name, --name=value, -n or -nvalue begins; *value points into the word or is
 * NULL. */
static int recognise_option(const char *word, const char **value) {
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        *value = equals ? equals + 1 : NULL;
        return find_option(word + 2, equals ? (size_t)(equals - word - 2) : strlen(word + 2));
    }
    *value = word[2] ? word + 2 : NULL;
    for (int i = 0; i < OPTION_COUNT; i++)
        if (options[i].letter && options[i].letter == word[1])
            return i;
    return -1;
}

/* Takes one option at argv[*at]; leaves *at on the last word that belongs to it. */
static enum exit_status take_option(struct invocation *invocation, int argc, char **argv, int *at) {
    const char *word = argv[*at], *value;
    int id = recognise_option(word, &value);
    if (id < 0 || !(invocation->command->options >> id & 1))
        return unknown_option(invocation, word);
    if (!options[id].argument && value)
        return usage_error(invocation, "`%s` takes no value", word);
    if (options[id].argument && !value) {
        if (*at + 1 >= argc)
            return usage_error(invocation, "`%s` wants a value: %s", word, options[id].argument);
        value = argv[++*at];
    }
    if (!options[id].repeated && invocation->values[id].count)
        return usage_error(invocation, "`%s` is given twice", word);
    VEC_PUSH(invocation->arena, &invocation->values[id], value ? value : "");
    return EXIT_OK;
}

enum exit_status command_parse(struct invocation *invocation, int argc, char **argv) {
    invocation->command = command_find(argv[1]);
    if (!invocation->command)
        return unknown_command(invocation, argv[1]);
    bool only_words = false;
    for (int i = 2; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
            enum exit_status status = take_option(invocation, argc, argv, &i);
            if (status != EXIT_OK)
                return status;
        } else {
            VEC_PUSH(invocation->arena, &invocation->words, argv[i]);
        }
    }
    return EXIT_OK;
}

bool command_takes(const struct invocation *invocation, enum option_id id) {
    return invocation->command && invocation->command->options >> id & 1;
}

bool option_given(const struct invocation *invocation, enum option_id id) {
    return invocation->values[id].count > 0;
}

const char *option_text(const struct invocation *invocation, enum option_id id, const char *otherwise) {
    return option_given(invocation, id) ? VEC_LAST(&invocation->values[id]) : otherwise;
}

bool option_integer(const struct invocation *invocation, enum option_id id, int64_t least, int64_t greatest,
                    int64_t otherwise, int64_t *out) {
    *out = otherwise;
    const char *text = option_text(invocation, id, NULL);
    if (!text)
        return true;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 0);
    if (errno || end == text || *end || value < least || value > greatest) {
        usage_error(invocation, "--%s wants a whole number from %lld to %lld, not `%s`", options[id].id,
                    (long long)least, (long long)greatest, text);
        return false;
    }
    *out = value;
    return true;
}
