# libfastserve_cuda.so: the kernels of CUDA devices, loaded by the library when a host asks for such a device. It lies
# beside libfastserve.so and needs the driver alone: the CUDA runtime is linked statically.
set(FASTSERVE_CUDA AUTO CACHE STRING "Build libfastserve_cuda.so: ON, OFF, or AUTO (where FASTSERVE_NVCC is given)")
set(FASTSERVE_NVCC "" CACHE FILEPATH "The CUDA compiler; empty: nvcc on the PATH")
set(FASTSERVE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120
  CACHE STRING "What libfastserve_cuda.so is compiled for, as CMAKE_CUDA_ARCHITECTURES")

if(FASTSERVE_CUDA STREQUAL "OFF" OR (FASTSERVE_CUDA STREQUAL "AUTO" AND NOT FASTSERVE_NVCC))
  return()
endif()
if(FASTSERVE_NVCC)
  set(CMAKE_CUDA_COMPILER ${FASTSERVE_NVCC})
  # Toolkits from Python packages keep their libraries in lib, where nvcc itself looks in lib64.
  cmake_path(GET FASTSERVE_NVCC PARENT_PATH nvcc_folder)
  cmake_path(GET nvcc_folder PARENT_PATH toolkit_folder)
  if(NOT CMAKE_CUDA_FLAGS MATCHES "-L${toolkit_folder}/lib")
    set(CMAKE_CUDA_FLAGS "${CMAKE_CUDA_FLAGS} -L${toolkit_folder}/lib")
  endif()
endif()
if(NOT CMAKE_CUDA_HOST_COMPILER)
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
set(CMAKE_CUDA_ARCHITECTURES ${FASTSERVE_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
if(FASTSERVE_CCACHE)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${FASTSERVE_CCACHE})
endif()
enable_language(CUDA)

file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
add_library(fastserve_cuda SHARED ${cuda_sources})
target_include_directories(fastserve_cuda PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(fastserve_cuda PRIVATE -Xcompiler=-Wall,-Wextra,-fno-exceptions,-fno-gnu-unique)
target_link_options(fastserve_cuda PRIVATE
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/src/api/exports.map -Wl,--exclude-libs,ALL -Wl,-z,now -Wl,-z,relro)
target_link_libraries(fastserve_cuda PRIVATE ${CMAKE_DL_LIBS})  # cuBLASLt is opened where there is one
set_target_properties(fastserve_cuda PROPERTIES LINKER_LANGUAGE CUDA CUDA_RESOLVE_DEVICE_SYMBOLS OFF)
install(TARGETS fastserve_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Cuda)
