// The product with malloc counted: linked with server/main.cpp into `pam-auth-counted`, which only benches
// run. A definition of malloc in the executable comes before the C library's for every library of the process
// (glibc manual, "Replacing malloc"), so that OpenSSL's and libpq's allocations are seen as well as ours.
//
// MALLOC_COUNTER_FILE names a file the counters live in: four unsigned 64-bit integers in the machine's
// order.
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);
}

namespace {

struct counters {
  std::atomic<std::uint64_t> allocations{0};
  std::atomic<std::uint64_t> bytes{0};  ///< as malloc gave them, rounded up
  std::atomic<std::uint64_t> frees{0};
  std::atomic<std::uint64_t> freed_bytes{0};
};

constinit counters before_the_file;
constinit std::atomic<counters*> shared{&before_the_file};

void* count(void* memory) {
  if (memory == nullptr) return nullptr;
  counters& to = *shared.load(std::memory_order_relaxed);
  to.allocations.fetch_add(1, std::memory_order_relaxed);
  to.bytes.fetch_add(::malloc_usable_size(memory), std::memory_order_relaxed);
  return memory;
}

void uncount(void* memory) {
  if (memory == nullptr) return;
  counters& to = *shared.load(std::memory_order_relaxed);
  to.frees.fetch_add(1, std::memory_order_relaxed);
  to.freed_bytes.fetch_add(::malloc_usable_size(memory), std::memory_order_relaxed);
}

[[gnu::constructor]] void share() {
  const char* const name = std::getenv("MALLOC_COUNTER_FILE");
  if (name == nullptr) return;
  const int file = ::open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(counters)) != 0) ::abort();
  void* const memory = ::mmap(nullptr, sizeof(counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) ::abort();
  shared.store(static_cast<counters*>(memory), std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  return count(__libc_malloc(size));
}

void* calloc(std::size_t count_of, std::size_t size) {
  return count(__libc_calloc(count_of, size));
}

void* realloc(void* memory, std::size_t size) {
  uncount(memory);
  return count(__libc_realloc(memory, size));
}

void* memalign(std::size_t alignment, std::size_t size) {
  return count(__libc_memalign(alignment, size));
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return count(__libc_memalign(alignment, size));
}

int posix_memalign(void** into, std::size_t alignment, std::size_t size) {
  void* const memory = count(__libc_memalign(alignment, size));
  if (memory == nullptr) return ENOMEM;
  *into = memory;
  return 0;
}

void free(void* memory) {
  uncount(memory);
  __libc_free(memory);
}

}  // extern "C"
