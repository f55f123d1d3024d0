# What `cmake --install` puts in place, and how find_package(tal) finds it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tal)
install(TARGETS tal EXPORT talTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY csrc/include/tal DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT talTargets NAMESPACE tal:: DESTINATION ${package_dir})
configure_package_config_file(csrc/cmake/talConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/talConfig.cmake"
  INSTALL_DESTINATION ${package_dir})
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/talConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/talConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/talConfigVersion.cmake"
  DESTINATION ${package_dir})
