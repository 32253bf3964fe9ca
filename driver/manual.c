/* driver/manual.c: manual pages and the completion of shells, from the tables (manual.h). */
#include "driver/manual.h"

#include "driver/command.h"

#include <string.h>

/* ---- manual pages: roff, man(7) ---- */

/* A '-' that is typed, a '\', and a '.' or '\'' at the begin of a line mean something to roff. */
static void put_roff(FILE *out, const char *text) {
    bool begins = true;
    for (; *text; text++) {
        if (begins && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        begins = *text == '\n';
    }
}

static void put_head(FILE *out, const char *page, const char *summary) {
    fprintf(out, ".TH \"%s\" 1 \"\" \"weft %s\" \"Weft\"\n.nh\n.ad l\n.SH NAME\n", page, WEFT_VERSION);
    put_roff(out, page);
    fputs(" \\- ", out);
    put_roff(out, summary);
    fputc('\n', out);
}

static void put_option(FILE *out, const struct option_info *option) {
    char name[32];
    option_name(option, name);
    fputs(".TP\n.B ", out);
    if (option->letter)
        fprintf(out, "\\-%c, ", option->letter);
    fputs("\\-\\-", out);
    put_roff(out, name);
    if (option->argument)
        fprintf(out, " \\fI%s\\fR", option->argument);
    fputc('\n', out);
    put_roff(out, option->help);
    fputs(option->repeated ? " (may be repeated)\n" : "\n", out);
}

static void put_command_page(FILE *out, const struct command *command) {
    char page[32];
    snprintf(page, sizeof page, "weft-%s", command->name);
    put_head(out, page, command->summary);
    fprintf(out, ".SH SYNOPSIS\n.B weft %s\n", command->name);
    put_roff(out, command->synopsis);
    fputs("\n.SH DESCRIPTION\n", out);
    put_roff(out, command->details);
    fputs(".SH OPTIONS\n", out);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (command->options >> i & 1)
            put_option(out, &options[i]);
    fputs(".SH SEE ALSO\n.BR weft (1)\n", out);
}

static void put_main_page(FILE *out) {
    put_head(out, "weft", "compile and run generative image models");
    fputs(".SH SYNOPSIS\n.B weft\n.I COMMAND\n\\&...\n.SH DESCRIPTION\nA model is a text file; "
          "Weft checks it, differentiates it, and turns it into native code: at once, or ahead of time into "
          "an object and a C "
          "header.\n.SH COMMANDS\n",
          out);
    for (int i = 0; i < command_count; i++) {
        fprintf(out, ".TP\n.BR weft\\-%s (1)\n", commands[i].name);
        put_roff(out, commands[i].summary);
        fputc('\n', out);
    }
    fputs(".SH EXIT STATUS\n0; 1 a mistake of the user's, explained; 2 a wrong command line; 3 a defect of "
          "Weft, with what to report.\n"
          ".SH ENVIRONMENT\n.TP\n.B XDG_CACHE_HOME\nwhere compiled kernels are kept: in its folder weft "
          "(~/.cache/weft).\n"
          ".TP\n.B XDG_STATE_HOME\nwhere the history of the REPL is kept: weft_history (~/.weft_history).\n",
          out);
}

/* ---- completion ---- */

/* The endings of the files that a command is about, as its synopsis names them; "" where it takes none. */
static const char *endings(const struct command *command) {
    static const struct {
        const char *word, *endings;
    } rows[] = {{"RECIPE", "yaml|yml|weft"}, {".weft", "weft"}, {"FILE ...", "safetensors|npy|npz|png|jpg"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strstr(command->synopsis, rows[i].word))
            return rows[i].endings;
    return "";
}

static bool is_file(const struct option_info *option) {
    return strcmp(option->argument, "FILE") == 0;
}

static bool is_folder(const struct option_info *option) {
    return strcmp(option->argument, "DIR") == 0;
}

/* own|openblas: what may be given stands in the table. */
static bool is_choice(const struct option_info *option) {
    return strchr(option->argument, '|') != NULL;
}

static void put_words(FILE *out, const char *text, char between) {
    for (; *text; text++)
        fputc(*text == '|' ? between : *text, out);
}

static void put_bash_options(FILE *out, const struct command *command) {
    char name[32];
    for (int i = 0; i < OPTION_COUNT; i++)
        if (command->options >> i & 1) {
            option_name(&options[i], name);
            fprintf(out, " --%s", name);
        }
}

static void write_bash(FILE *out) {
    fputs("# Completion of weft in bash; made by `weft help --bash`.\n"
          "_weft() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words= endings=\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n        words=\"",
          out);
    for (int i = 0; i < command_count; i++)
        fprintf(out, "%s ", commands[i].name);
    fputs("help version\"\n        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n        return\n    "
          "fi\n    case $before in\n",
          out);
    for (int i = 0; i < OPTION_COUNT; i++) {
        char name[32];
        option_name(&options[i], name);
        if (!options[i].argument)
            continue;
        fprintf(out, "    --%s", name);
        if (options[i].letter)
            fprintf(out, "|-%c", options[i].letter);
        fputs(") ", out);
        if (is_choice(&options[i])) {
            fputs("COMPREPLY=($(compgen -W \"", out);
            put_words(out, options[i].argument, ' ');
            fputs("\" -- \"$current\"));", out);
        } else if (is_file(&options[i]) || is_folder(&options[i])) {
            fprintf(out, "COMPREPLY=($(compgen -%c -- \"$current\"));", is_file(&options[i]) ? 'f' : 'd');
        }
        fputs(" return ;;\n", out);
    }
    fputs("    esac\n    case ${COMP_WORDS[1]} in\n", out);
    for (int i = 0; i < command_count; i++) {
        fprintf(out, "    %s) words=\"", commands[i].name);
        put_bash_options(out, &commands[i]);
        fprintf(out, "\" endings='%s' ;;\n", endings(&commands[i]));
    }
    fputs("    help) words=\"", out);
    for (int i = 0; i < command_count; i++)
        fprintf(out, "%s ", commands[i].name);
    fputs("\" ;;\n    esac\n"
          "    if [[ $current == -* || -z $endings ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -d -S / -- \"$current\") $(compgen -f -X \"!*.@($endings)\" -- "
          "\"$current\"))\n"
          "        compopt -o nospace 2>/dev/null\n"
          "    fi\n"
          "}\n"
          "shopt -s extglob\n"
          "complete -o filenames -F _weft weft\n",
          out);
}

/* Within '...' and behind a ':' or before a ']' zsh wants them escaped. */
static void put_zsh(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\'", out);
        else if (strchr(":[]\\", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_zsh_option(FILE *out, const struct option_info *option) {
    char name[32];
    option_name(option, name);
    fprintf(out, "            '%s--%s[", option->repeated ? "*" : "", name);
    put_zsh(out, option->help);
    fputc(']', out);
    if (option->argument) {
        fputc(':', out);
        put_zsh(out, option->argument);
        fputc(':', out);
        if (is_choice(option)) {
            fputc('(', out);
            put_words(out, option->argument, ' ');
            fputc(')', out);
        } else {
            fputs(is_folder(option) ? "_files -/" : is_file(option) ? "_files" : " ", out);
        }
    }
    fputs("' \\\n", out);
}

static void write_zsh(FILE *out) {
    fputs("#compdef weft\n# Completion of weft in zsh; made by `weft help --zsh`.\n_weft() {\n    local -a "
          "commands\n    commands=(\n",
          out);
    for (int i = 0; i < command_count; i++) {
        fprintf(out, "        '%s:", commands[i].name);
        put_zsh(out, commands[i].summary);
        fputs("'\n", out);
    }
    fputs("        'help:print the help of a command'\n        'version:print the version'\n    )\n"
          "    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
          "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n",
          out);
    for (int i = 0; i < command_count; i++) {
        fprintf(out, "    %s)\n        _arguments \\\n", commands[i].name);
        for (int k = 0; k < OPTION_COUNT; k++)
            if (commands[i].options >> k & 1)
                put_zsh_option(out, &options[k]);
        const char *files = endings(&commands[i]);
        fprintf(out,
                *files ? "            '*:file:_files -g \"*.(%s)(-.)\"' ;;\n" : "            '*: :' ;;\n",
                files);
    }
    fputs("    help) _describe command commands ;;\n    esac\n}\n_weft \"$@\"\n", out);
}

bool manual_write(FILE *out, const char *what) {
    static const char page[] = "--man-";
    const struct command *command =
        strncmp(what, page, sizeof page - 1) == 0 ? command_find(what + sizeof page - 1) : NULL;
    if (command)
        put_command_page(out, command);
    else if (strcmp(what, "--man") == 0)
        put_main_page(out);
    else if (strcmp(what, "--bash") == 0)
        write_bash(out);
    else if (strcmp(what, "--zsh") == 0)
        write_zsh(out);
    else
        return false;
    return true;
}
