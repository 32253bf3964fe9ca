/* codegen/nest_loops.c: the stack of open loops. */
#include "codegen/nest.h"

void level_open(struct phase *p, struct loop_var *var, const struct loop_expr *hi, enum loop_kind kind) {
    struct level level = {.var = var, .hi = hi, .kind = kind};
    VEC_PUSH(p->nest->arena, &p->levels, level);
}

void level_close(struct phase *p) {
    struct level level = VEC_POP(&p->levels);
    struct loop_list *outer = &VEC_LAST(&p->levels).list;
    if (level.list.first) {
        struct loop_stmt *loop =
            loop_for(p->f, outer, level.var, lexpr_index(p->f, 0), level.hi, 1, level.kind);
        loop->body = level.list.first;
    }
}

int level_of(const struct phase *p, const struct loop_expr *const *parts, int count) {
    for (int level = p->levels.count - 1; level > 0; level--)
        for (int i = 0; i < count; i++)
            if (parts[i] && lexpr_depends_on(parts[i], p->levels.at[level].var))
                return level;
    return 0;
}

struct loop_var *index_var(struct phase *p, const char *name, int64_t size) {
    struct loop_var *var = loop_var_create(p->f, name, DTYPE_i64);
    var->min = 0;
    var->max = size > 0 ? size - 1 : 0;
    return var;
}

bool in_vector(const struct phase *p) {
    for (int level = 0; level < p->levels.count; level++)
        if (p->levels.at[level].kind == LOOP_VECTOR)
            return true;
    return false;
}
