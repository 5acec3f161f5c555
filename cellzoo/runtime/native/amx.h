// Whether this process may use the tile registers of AMX, with products of bfloat16.
#pragma once

namespace cellzoo {

// Asks the system for them; it grants them to the process and its threads for good.
bool may_use_amx();

}  // namespace cellzoo
