/* driver/main.c: the program `weft`. */
#include "base/arena.h"
#include "driver/command.h"
#include "driver/manual.h"
#include "driver/recipe.h"

#include <signal.h>
#include <string.h>

static enum exit_status help(struct invocation *invocation, const char *topic) {
    if (topic && strcmp(topic, "recipe") == 0) {
        recipe_help(stdout);
        return EXIT_OK;
    }
    if (topic && manual_write(stdout, topic))
        return EXIT_OK;
    const struct command *command = topic ? command_find(topic) : NULL;
    if (topic && !command)
        return unknown_command(invocation, topic);
    command_help(stdout, command);
    return EXIT_OK;
}

static enum exit_status run(struct invocation *invocation, int argc, char **argv) {
    if (argc < 2) {
        command_help(stderr, NULL);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(invocation, argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "version") == 0 || strcmp(word, "--version") == 0) {
        printf("weft %s\n", WEFT_VERSION);
        return EXIT_OK;
    }
    enum exit_status status = command_parse(invocation, argc, argv);
    if (status != EXIT_OK)
        return status;
    return option_given(invocation, OPT_help) ? help(invocation, word) : invocation->command->run(invocation);
}

int main(int argc, char **argv) {
    struct arena *arena = arena_create();
    if (!arena) {
        fprintf(stderr, "weft: out of memory\n");
        return EXIT_USER;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file that grows past the limit is a failed write, with a message */
    jmp_buf landing;
    volatile enum exit_status status = EXIT_USER;
    if (setjmp(landing) == 0) {
        arena_set_landing(arena, &landing);
        struct invocation invocation = {.arena = arena};
        status = run(&invocation, argc, argv);
    } else {
        fprintf(stderr, "weft: out of memory\n");
    }
    arena_destroy(arena);
    if (fflush(stdout) != 0 && status == EXIT_OK) {
        fprintf(stderr, "weft: cannot write to standard output\n");
        return EXIT_USER;
    }
    return (int)status;
}
