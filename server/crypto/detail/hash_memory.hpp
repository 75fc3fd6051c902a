#pragma once

namespace pam::crypto::detail {

/// Memory for one Argon2 hash that a thread keeps for its next one. libsodium maps and unmaps its 19 MiB for
/// each hash: the kernel zeroes and maps 4,864 pages, which takes longer than the hash does where page faults
/// are dear (docs/adr/0059). Not zeroed between uses: Argon2 writes every block before it reads it.
/// Left out of core dumps; given back when the thread ends, or by `drop`.
class hash_memory {
 public:
  /// While one lives, the thread's next large anonymous mapping (mmap(2) by a shared library) is the memory
  /// kept. For calls of libsodium's Argon2 only: who relies on zeros must not be called meanwhile.
  class use {
   public:
    use();
    ~use();
    use(const use&) = delete;
    use& operator=(const use&) = delete;
  };

  /// Gives back what this thread keeps.
  static void drop();
};

}  // namespace pam::crypto::detail
