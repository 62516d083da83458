#include "model/base/nearest.h"

#include <ctype.h>
#include <string.h>

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static char folded(char c) {
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

size_t text_edit_distance(const char *a, const char *b) {
    enum { LONGEST = 128 }; // no name is as long; what stands behind cannot make two texts near
    size_t row[LONGEST + 1], length_a = strnlen(a, LONGEST), length_b = strnlen(b, LONGEST);
    for (size_t j = 0; j <= length_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t substitution = diagonal + (folded(a[i - 1]) != folded(b[j - 1]));
            diagonal = row[j];
            row[j] = smallest(substitution, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[length_b];
}

const char *text_nearest(const char *word, const char *const *names, size_t count) {
    const char *best = count > 0 ? names[0] : "";
    for (size_t i = 1; i < count; i++)
        if (text_edit_distance(word, names[i]) < text_edit_distance(word, best))
            best = names[i];
    return best;
}
