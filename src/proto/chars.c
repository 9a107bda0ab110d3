/* The table of byte classes.
 *
 * One row for each byte that differs from its neighbours, so that the grammar can be checked by
 * eye. Which bytes beyond RFC 3986 a target may hold, and why, is said in target.c. Relies on
 * nothing. */
#include "proto/chars.h"

enum {
    TEXT = CHAR_TEXT,
    TOKEN = CHAR_TOKEN | TEXT,
    QUERY = CHAR_QUERY | TEXT,
    PATH = CHAR_PATH | QUERY,
    HOST = CHAR_HOST | PATH,
    ALPHA = TOKEN | HOST,
    DIGIT = ALPHA | CHAR_DIGIT | CHAR_HEX,
};

const uint8_t char_classes[256] = {
    ['\t'] = TEXT,         [' '] = TEXT,
    ['!'] = TOKEN | HOST,  ['"'] = TEXT,
    ['#'] = TOKEN,         ['$'] = TOKEN | HOST,
    ['%'] = TOKEN | QUERY, ['&'] = TOKEN | HOST,
    ['\''] = TOKEN | HOST, ['('] = HOST,
    [')'] = HOST,          ['*'] = TOKEN | HOST,
    ['+'] = TOKEN | HOST,  [','] = HOST,
    ['-'] = TOKEN | HOST,  ['.'] = TOKEN | HOST,
    ['/'] = PATH,          ['0' ... '9'] = DIGIT,
    [':'] = PATH,          [';'] = HOST,
    ['<'] = TEXT,          ['='] = HOST,
    ['>'] = TEXT,          ['?'] = QUERY,
    ['@'] = PATH,          ['A' ... 'F'] = ALPHA | CHAR_HEX,
    ['G' ... 'Z'] = ALPHA, ['['] = PATH,
    ['\\'] = TEXT,         [']'] = PATH,
    ['^'] = TOKEN | PATH,  ['_'] = TOKEN | HOST,
    ['`'] = TOKEN | QUERY, ['a' ... 'f'] = ALPHA | CHAR_HEX,
    ['g' ... 'z'] = ALPHA, ['{'] = QUERY,
    ['|'] = TOKEN | PATH,  ['}'] = QUERY,
    ['~'] = TOKEN | HOST,  [0x80 ... 0xff] = TEXT,
};
