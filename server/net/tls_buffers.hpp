#pragma once

#include <cstddef>

namespace pam::net {

/// Lets OpenSSL take what it needs for each record from a few blocks that each thread keeps at hand.
///
/// The 17 KiB buffers of its connections: `SSL_MODE_RELEASE_BUFFERS` gives them back after every request, so
/// that an idle connection has none; of that size malloc keeps nothing at hand either, and searching its bins
/// costs more than the rest of a record. And blocks of 40 bytes, two for each record: malloc has those at
/// hand too, in three times the steps, and looks whether one is given back twice, which nobody does here.
///
/// At most `tls_buffers_kept` and `small_blocks_kept` stay with a thread, until the process ends.
/// Call it once, before anything of OpenSSL: it does nothing and returns false when OpenSSL has allocated
/// already, or when a sanitizer wants to see every allocation.
bool keep_tls_buffers();

inline constexpr std::size_t tls_buffers_kept = 8;
inline constexpr std::size_t small_blocks_kept = 8;

namespace detail {

/// What OpenSSL calls then; CRYPTO_set_mem_functions(3). The last two name OpenSSL's own source line.
void* allocate(std::size_t size, const char* file, int line);
void release(void* memory, const char* file, int line);

}  // namespace detail
}  // namespace pam::net
