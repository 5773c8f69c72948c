// Fuzzes saved sessions: bytes as they are, and as they would be if whoever changed them had made the checksums and the
// fingerprint right. What is refused says why and leaves nothing; what is taken can be saved again, and comes back.
#include "support/saved_session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fastserve;  // NOLINT(google-build-using-namespace)
  static const test::SavedSessionEngine host(test::SavedSessionEngine::small_shape());
  if (host.model() == nullptr) __builtin_trap();
  std::vector<uint8_t> bytes(data, data + size);
  const char* broken = nullptr;
  (void)test::import_any(host, bytes, &broken);
  if (broken != nullptr) __builtin_trap();
  if (bytes.size() < SessionFixedPart::kBytes) return 0;
  store_little_endian(host.model()->fingerprint, bytes.data() + test::kSavedFingerprintField);
  test::seal_session(bytes);
  (void)test::import_any(host, bytes, &broken);
  if (broken != nullptr) __builtin_trap();
  return 0;
}
