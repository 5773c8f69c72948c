# Kernel files are compiled for the instructions that their folder and suffix name; CPUID chooses at run time.
# kernels/cpu/avx2/*, kernels/cpu/avx512/* (suffix _vnni or _bf16 for more), kernels/cpu/amx/*.
set(avx2_flags -mavx2 -mfma -mf16c)
set(avx512_flags ${avx2_flags} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)

# GCC 12's own AVX-512 header trips this warning at every second intrinsic (GCC bug 105593).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND avx512_flags -Wno-maybe-uninitialized -Wno-uninitialized)
endif()
set(avx512_vnni_flags ${avx512_flags} -mavx512vnni)
set(avx512_bf16_flags ${avx512_vnni_flags} -mavx512bf16)
set(amx_flags ${avx512_bf16_flags} -mamx-tile -mamx-int8 -mamx-bf16 -mprfchw)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT FASTSERVE_SCALAR)
  set(FASTSERVE_X86_KERNELS ON)
else()
  set(FASTSERVE_X86_KERNELS OFF)
endif()

# fastserve_kernel_flags(<sources...>)
function(fastserve_kernel_flags)
  foreach(source IN LISTS ARGN)
    set(flags)
    if(source MATCHES "/kernels/cpu/avx2/")
      set(flags ${avx2_flags})
    elseif(source MATCHES "/kernels/cpu/avx512/.*_bf16\\.cpp$")
      set(flags ${avx512_bf16_flags})
    elseif(source MATCHES "/kernels/cpu/avx512/.*_vnni\\.cpp$")
      set(flags ${avx512_vnni_flags})
    elseif(source MATCHES "/kernels/cpu/avx512/")
      set(flags ${avx512_flags})
    elseif(source MATCHES "/kernels/cpu/amx/")
      set(flags ${amx_flags})
    endif()
    if(flags AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # GCC 12: its own intrinsics warn falsely; -O3's constant propagation between functions drops stores in the
      # tiled kernels (found by the bit-equality tests).
      list(APPEND flags -fno-ipa-cp -Wno-uninitialized -Wno-maybe-uninitialized)
    endif()
    if(flags)
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}")
    endif()
  endforeach()
endfunction()
