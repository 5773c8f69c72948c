# Packages that the library's own sources use. Static archives go into the shared library, so that a host needs
# nothing beside it and sees none of their symbols.
find_package(Threads REQUIRED)

# fastserve_static_dependency(<name> <header> <archive> [definition]): an imported target fastserve_<name>.
function(fastserve_static_dependency name header archive)
  find_path(FASTSERVE_${name}_INCLUDE ${header} REQUIRED)
  find_library(FASTSERVE_${name}_LIBRARY NAMES ${CMAKE_STATIC_LIBRARY_PREFIX}${archive}${CMAKE_STATIC_LIBRARY_SUFFIX}
    ${archive} REQUIRED)
  mark_as_advanced(FASTSERVE_${name}_INCLUDE FASTSERVE_${name}_LIBRARY)
  add_library(fastserve_${name} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(fastserve_${name} PROPERTIES
    IMPORTED_LOCATION ${FASTSERVE_${name}_LIBRARY}
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${FASTSERVE_${name}_INCLUDE}
    INTERFACE_COMPILE_DEFINITIONS "${ARGN}")
endfunction()

# Boost.JSON is compiled header-only, inside one of our own sources.
find_path(FASTSERVE_BOOST_INCLUDE boost/json/src.hpp REQUIRED)
mark_as_advanced(FASTSERVE_BOOST_INCLUDE)
add_library(fastserve_boost INTERFACE IMPORTED GLOBAL)
target_include_directories(fastserve_boost SYSTEM INTERFACE ${FASTSERVE_BOOST_INCLUDE})

fastserve_static_dependency(utf8proc utf8proc.h utf8proc UTF8PROC_STATIC)
fastserve_static_dependency(pcre2 pcre2.h pcre2-8 PCRE2_STATIC PCRE2_CODE_UNIT_WIDTH=8)

set(FASTSERVE_DEPENDENCIES fastserve_boost fastserve_utf8proc fastserve_pcre2 Threads::Threads ${CMAKE_DL_LIBS})
