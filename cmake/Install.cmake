# Installation: component Runtime (the shared library), Development (header, find_package, pkg-config), Tools (the
# command line program). Every file is relocatable: nothing holds the prefix.
include(CMakePackageConfigHelpers)

install(TARGETS fastserve EXPORT fastserveTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Runtime NAMELINK_COMPONENT Development
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT Runtime
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Development)
file(GLOB cpp_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bindings/cpp/include/*.hpp)
install(FILES ${PROJECT_SOURCE_DIR}/include/fastserve.h ${cpp_headers}
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT Development)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT Runtime)
if(TARGET fastserve_cli)
  install(TARGETS fastserve_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT Tools)
endif()

set(config_directory ${CMAKE_INSTALL_LIBDIR}/cmake/fastserve)
install(EXPORT fastserveTargets NAMESPACE fastserve:: DESTINATION ${config_directory} COMPONENT Development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/fastserveConfig.cmake.in
  ${PROJECT_BINARY_DIR}/fastserveConfig.cmake INSTALL_DESTINATION ${config_directory}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fastserveConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fastserveConfig.cmake ${PROJECT_BINARY_DIR}/fastserveConfigVersion.cmake
  DESTINATION ${config_directory} COMPONENT Development)

# pkg-config finds the prefix from where its own file lies.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
  OUTPUT_VARIABLE prefix_from_pkgconfig)
configure_file(${PROJECT_SOURCE_DIR}/cmake/fastserve.pc.in ${PROJECT_BINARY_DIR}/fastserve.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fastserve.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT Development)

if(PROJECT_IS_TOP_LEVEL)
  include(Package)
endif()
