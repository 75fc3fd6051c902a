#include "server/crypto/detail/hash_memory.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace pam::crypto::detail {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAM_WATCHES_MMAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PAM_WATCHES_MMAP 1
#endif
#endif

void* map(void* address, std::size_t size, int protection, int flags, int descriptor, off_t offset) {
  return reinterpret_cast<void*>(::syscall(SYS_mmap, address, size, protection, flags, descriptor, offset));
}

int unmap(void* address, std::size_t size) {
  return static_cast<int>(::syscall(SYS_munmap, address, size));
}

struct kept_memory {
  void* address = nullptr;
  std::size_t size = 0;
  bool is_offered = false;  ///< a `use` lives
  bool is_taken = false;

  kept_memory() = default;
  kept_memory(const kept_memory&) = delete;
  kept_memory& operator=(const kept_memory&) = delete;
  ~kept_memory() { drop(); }

  void drop() {
    if (address != nullptr && !is_taken) unmap(address, size);
    address = nullptr;
    size = 0;
  }

  /// @return nullptr when there is no memory to keep: the caller maps its own then
  void* take(std::size_t wanted) {
    if (size < wanted) {
      drop();
      void* const made =
          map(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      if (made == MAP_FAILED) return nullptr;
      // What is in it comes from passwords. Old kernels without the advice only dump more.
      static_cast<void>(::madvise(made, wanted, MADV_DONTDUMP));
      address = made;
      size = wanted;
    }
    is_taken = true;
    return address;
  }
};
thread_local kept_memory kept;

}  // namespace

hash_memory::use::use() {
  kept.is_offered = true;
}

hash_memory::use::~use() {
  kept.is_offered = false;
}

void hash_memory::drop() {
  kept.drop();
}

}  // namespace pam::crypto::detail

// The program's definitions stand before the C library's for every shared library (ld.so(8)). A sanitizer has
// its own, and wants to see each mapping.
#ifndef PAM_WATCHES_MMAP

extern "C" void* mmap(void* address, std::size_t size, int protection, int flags, int descriptor,
                      off_t offset) noexcept {
  using namespace pam::crypto::detail;
  // Smaller mappings are not a hash's memory, and cost nothing.
  constexpr std::size_t smallest = std::size_t{1} << 20U;
  constexpr int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  const bool is_memory = address == nullptr && (flags & anonymous) == anonymous &&
                         (flags & ~(anonymous | MAP_POPULATE | MAP_NORESERVE)) == 0 &&
                         protection == (PROT_READ | PROT_WRITE);
  if (size >= smallest && is_memory && kept.is_offered && !kept.is_taken) {
    if (void* const memory = kept.take(size); memory != nullptr) return memory;
  }
  return map(address, size, protection, flags, descriptor, offset);
}

extern "C" int munmap(void* address, std::size_t size) noexcept {
  using namespace pam::crypto::detail;
  if (kept.is_taken && address == kept.address) {
    kept.is_taken = false;
    return 0;
  }
  return unmap(address, size);
}

#endif
