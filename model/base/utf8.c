#include "model/base/utf8.h"

size_t utf8_character(const char *at) {
    const unsigned char *c = (const unsigned char *)at;
    unsigned char least = 0x80, most = 0xBF; // of the second byte
    size_t bytes = c[0] >= 0xF0 ? 4 : c[0] >= 0xE0 ? 3 : 2;
    if (c[0] < 0x80)
        return 1;
    if (c[0] < 0xC2 || c[0] > 0xF4)
        return 0;
    least = c[0] == 0xE0 ? 0xA0 : c[0] == 0xF0 ? 0x90 : least;
    most = c[0] == 0xED ? 0x9F : c[0] == 0xF4 ? 0x8F : most;
    if (c[1] < least || c[1] > most)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

size_t utf8_count_wrong(const char *text) {
    size_t wrong = 0;
    while (*text) {
        size_t bytes = utf8_character(text);
        wrong += bytes == 0;
        text += bytes ? bytes : 1;
    }
    return wrong;
}

void utf8_mend(char *text) {
    while (*text) {
        size_t bytes = utf8_character(text);
        if (bytes == 0)
            *text = '?';
        text += bytes ? bytes : 1;
    }
}
