# fastserve_core: everything below the C ABI, compiled once; the shared library and the tests link the same objects.
# fastserve_api: the extern "C" shims. fastserve: the shared library, which exports fsv_* alone.
file(GLOB_RECURSE core_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/*.cpp ${PROJECT_SOURCE_DIR}/kernels/*.cpp)
list(FILTER core_sources EXCLUDE REGEX "/src/api/|/src/base/(heap|unload)\\.cpp$|/kernels/cuda/")
if(NOT FASTSERVE_X86_KERNELS)
  list(FILTER core_sources EXCLUDE REGEX "/kernels/cpu/(avx2|avx512|amx)/")
endif()
file(GLOB_RECURSE api_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/api/*.cpp)

add_library(fastserve_core STATIC ${core_sources})
target_include_directories(fastserve_core PUBLIC
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(fastserve_core PUBLIC ${FASTSERVE_DEPENDENCIES} PRIVATE fastserve_options)
if(FASTSERVE_X86_KERNELS)
  target_compile_definitions(fastserve_core PUBLIC FASTSERVE_X86_KERNELS)
endif()
fastserve_kernel_flags(${core_sources})

if(NOT api_sources)
  return() # nothing to export yet
endif()

add_library(fastserve_api OBJECT ${api_sources})
target_link_libraries(fastserve_api PUBLIC fastserve_core PRIVATE fastserve_options)
target_compile_definitions(fastserve_api PRIVATE FASTSERVE_BUILDING)

set(exports_map ${PROJECT_SOURCE_DIR}/src/api/exports.map)
add_library(fastserve SHARED $<TARGET_OBJECTS:fastserve_api> $<TARGET_OBJECTS:fastserve_heap>)
add_library(fastserve::fastserve ALIAS fastserve)
target_include_directories(fastserve PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(fastserve PRIVATE fastserve_core fastserve_options)
set_target_properties(fastserve PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${FASTSERVE_ABI_VERSION} LINK_DEPENDS ${exports_map} LINKER_LANGUAGE CXX)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_link_options(fastserve PRIVATE
    -Wl,--version-script=${exports_map} -Wl,--exclude-libs,ALL -Wl,--gc-sections -Wl,-z,now -Wl,-z,relro)
  if(NOT FASTSERVE_SANITIZE)
    target_link_options(fastserve PRIVATE -Wl,--no-undefined)
  endif()
endif()
if(FASTSERVE_STATIC_RUNTIME AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" AND NOT APPLE AND NOT WIN32)
  target_link_options(fastserve PRIVATE -static-libstdc++ -static-libgcc)
endif()
