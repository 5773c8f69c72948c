# The private heap of the shared library. fastserve_heap (objects for the shared library): operator new and delete,
# load and unload. fastserve_heap_hooks (objects for tests): the same operators over malloc, counted and failable.
# mimalloc's sources are not in the repository: ./dev fetches them, FASTSERVE_MIMALLOC_SOURCE names them.
set(heap_directory ${PROJECT_SOURCE_DIR}/src/base)

add_library(fastserve_heap_hooks OBJECT EXCLUDE_FROM_ALL ${heap_directory}/heap.cpp)
target_include_directories(fastserve_heap_hooks PUBLIC ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(fastserve_heap_hooks PRIVATE FASTSERVE_HEAP_HOOKS)
target_link_libraries(fastserve_heap_hooks PRIVATE fastserve_options)

add_library(fastserve_heap OBJECT ${heap_directory}/unload.cpp)
target_include_directories(fastserve_heap PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(fastserve_heap PRIVATE fastserve_options)
set(static_libstdcxx $<AND:$<BOOL:${FASTSERVE_STATIC_RUNTIME}>,$<PLATFORM_ID:Linux>>)
target_compile_definitions(fastserve_heap PRIVATE $<${static_libstdcxx}:FASTSERVE_HAVE_STATIC_LIBSTDCXX>)

set(mimalloc_unit ${FASTSERVE_MIMALLOC_SOURCE}/src/static.c)
if(FASTSERVE_MIMALLOC STREQUAL "OFF")
  message(STATUS "fastserve: private heap off, the library uses the system's")
elseif(NOT FASTSERVE_STATIC_RUNTIME)
  # A shared libstdc++ allocates with the process's operators what our objects would free with ours.
  message(STATUS "fastserve: private heap off (it needs FASTSERVE_STATIC_RUNTIME), the library uses the system's")
elseif(EXISTS ${mimalloc_unit})
  message(STATUS "fastserve: private heap mimalloc, from ${FASTSERVE_MIMALLOC_SOURCE}")
  target_sources(fastserve_heap PRIVATE ${heap_directory}/heap.cpp ${heap_directory}/heap_mimalloc.c)
  target_include_directories(fastserve_heap SYSTEM PRIVATE
    ${FASTSERVE_MIMALLOC_SOURCE}/src ${FASTSERVE_MIMALLOC_SOURCE}/include)
  target_compile_definitions(fastserve_heap PRIVATE FASTSERVE_HAVE_MIMALLOC)
  set_source_files_properties(${heap_directory}/heap_mimalloc.c PROPERTIES
    COMPILE_OPTIONS "-std=gnu11;-ftls-model=local-dynamic;-fno-builtin-malloc;-w")
elseif(FASTSERVE_MIMALLOC STREQUAL "ON")
  message(FATAL_ERROR "FASTSERVE_MIMALLOC is ON, but FASTSERVE_MIMALLOC_SOURCE names no mimalloc 3 sources")
else()
  message(STATUS "fastserve: private heap off (no FASTSERVE_MIMALLOC_SOURCE), the library uses the system's")
endif()
