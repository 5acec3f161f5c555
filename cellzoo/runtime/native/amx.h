// Detection of AMX, the tile registers of x86 processors, with bfloat16 products.
#pragma once

namespace cellzoo {

// Whether this process may use AMX. Requests permission from the operating system, for all threads of the process.
bool may_use_amx();

}  // namespace cellzoo
