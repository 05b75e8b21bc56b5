#include "texts.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char agents[] = {
#embed "../../calibration/text/calibration/agents.txt"
};
static const unsigned char code[] = {
#embed "../../calibration/text/calibration/code.txt"
};
static const unsigned char languages[] = {
#embed "../../calibration/text/calibration/languages.txt"
};
static const unsigned char generated[] = {
#embed "../../calibration/text/calibration/generated.txt"
};
static const unsigned char held_out_agents[] = {
#embed "../../calibration/text/held-out/agents.txt"
};
static const unsigned char held_out_code[] = {
#embed "../../calibration/text/held-out/code.txt"
};
static const unsigned char held_out_languages[] = {
#embed "../../calibration/text/held-out/languages.txt"
};

static const ingot_text texts[] = {
    {"agents.txt", agents, sizeof agents, 0},
    {"code.txt", code, sizeof code, 0},
    {"languages.txt", languages, sizeof languages, 0},
    {"generated.txt", generated, sizeof generated, 0},
    {"held-out-agents.txt", held_out_agents, sizeof held_out_agents, 1},
    {"held-out-code.txt", held_out_code, sizeof held_out_code, 1},
    {"held-out-languages.txt", held_out_languages, sizeof held_out_languages, 1},
};

size_t ingot_text_count(void) { return sizeof texts / sizeof texts[0]; }

ingot_text ingot_text_at(size_t index) { return texts[index]; }
