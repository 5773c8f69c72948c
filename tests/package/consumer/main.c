/* Prints the version of the library that it runs with; fails unless that is the header's. */
#include <fastserve.h>
#include <stdio.h>

int main(void) {
  const uint32_t header = FSV_VERSION_MAJOR * 10000u + FSV_VERSION_MINOR * 100u + FSV_VERSION_PATCH;
  printf("%s\n", fsv_version_string());
  return fsv_version() == header ? 0 : 1;
}
