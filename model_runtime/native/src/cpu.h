// Which instructions this machine has, as far as kernels need them.
#pragma once

bool cpu_has_avx2();         // with FMA and F16C
bool cpu_has_avx512_vnni();  // with F, BW, VL and DQ
bool cpu_has_dotprod();
