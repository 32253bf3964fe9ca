/* driver/command.h: the command line, from two tables (options.def, commands.def). */
#ifndef DRIVER_COMMAND_H
#define DRIVER_COMMAND_H

#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum exit_status { EXIT_OK = 0, EXIT_USER = 1, EXIT_USAGE = 2, EXIT_DEFECT = 3 };

enum option_id {
#define OPTION(id, ...) OPT_##id,
#include "driver/options.def"
#undef OPTION
    OPTION_COUNT
};

struct option_info {
    const char *id;
    char letter;          /* 0: none */
    const char *argument; /* NULL: a switch */
    bool repeated;
    const char *help;
};
extern const struct option_info options[OPTION_COUNT];
void option_name(const struct option_info *option, char out[32]); /* "embed-weights" */

/* One use of the program: the command, its words and options. */
struct invocation {
    struct arena *arena; /* of the whole run */
    const struct command *command;
    VEC(const char *) words;
    VEC(const char *) values[OPTION_COUNT]; /* in order; a switch that is given has one "" */
};

struct command {
    const char *name, *synopsis, *summary;
    uint64_t options; /* bit OPT_x */
    const char *details;
    enum exit_status (*run)(struct invocation *invocation);
};

extern const struct command commands[];
extern const int command_count;

/* Fills an invocation from argv. EXIT_OK: go on and run it; else the reason has been printed. */
enum exit_status command_parse(struct invocation *invocation, int argc, char **argv);
void command_help(FILE *out, const struct command *command); /* NULL: the list of all */
const struct command *command_find(const char *name);        /* NULL: none */
/* A command that does not exist, or a wrong use that the command itself finds: prints it with the synopsis.
 */
enum exit_status unknown_command(struct invocation *invocation, const char *word);
enum exit_status usage_error(const struct invocation *invocation, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool command_takes(const struct invocation *invocation, enum option_id id);
bool option_given(const struct invocation *invocation, enum option_id id);
const char *option_text(const struct invocation *invocation, enum option_id id,
                        const char *otherwise); /* the last one */
/* A number in [least, greatest]; false: usage_error was printed. */
bool option_integer(const struct invocation *invocation, enum option_id id, int64_t least, int64_t greatest,
                    int64_t otherwise, int64_t *out);

#endif
