// In place of the engine's: the processor has what is emulated.
#include "cpu.h"

bool cpu_has_avx2() { return false; }
bool cpu_has_avx512_vnni() { return true; }
bool cpu_has_dotprod() { return false; }
