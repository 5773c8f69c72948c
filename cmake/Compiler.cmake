# Language level, warnings, visibility, sanitizers and output folders of everything that is built here.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()

find_program(FASTSERVE_CCACHE ccache)
if(FASTSERVE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${FASTSERVE_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${FASTSERVE_CCACHE})
endif()

# Options of all our own targets; an interface so that a parent project's targets are left alone.
add_library(fastserve_options INTERFACE)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(fastserve_options INTERFACE
    -Wall -Wextra -Wshadow -ffp-contract=off -ffunction-sections -fdata-sections)
  # STB_GNU_UNIQUE symbols would pin the library in the process: dlclose could not unload it.
  target_compile_options(fastserve_options INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
endif()

if(FASTSERVE_SANITIZE)
  target_compile_options(fastserve_options INTERFACE
    -fsanitize=${FASTSERVE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(fastserve_options INTERFACE -fsanitize=${FASTSERVE_SANITIZE})
  set(FASTSERVE_STATIC_RUNTIME OFF) # a sanitizer's run-time library must be the one of the process
endif()
