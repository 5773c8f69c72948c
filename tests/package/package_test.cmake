# cmake -DBUILD= -DCC= -DGENERATOR= -DLIBDIR= -DCONSUMER= -DWORK= -DVERSION= -DREADME= -P package_test.cmake
include(${CMAKE_CURRENT_LIST_DIR}/run.cmake)

file(REMOVE_RECURSE ${WORK}/installed ${WORK}/prefix ${WORK}/build)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/installed)
file(RENAME ${WORK}/installed ${WORK}/prefix) # a package that remembers its prefix breaks here
set(lib ${WORK}/prefix/${LIBDIR})
set(with_library ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${lib})

# Our own generator: a bare machine may have no other.
set(generator)
if(GENERATOR)
  set(generator -G ${GENERATOR})
endif()
run(${CMAKE_COMMAND} ${generator} -S ${CONSUMER} -B ${WORK}/build -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_C_COMPILER=${CC})
run(${CMAKE_COMMAND} --build ${WORK}/build)
expect_version("find_package" ${WORK}/build/consumer)

run(${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${lib}/pkgconfig pkg-config --cflags --libs fastserve)
separate_arguments(flags UNIX_COMMAND "${output}")
run(${CC} ${CONSUMER}/main.c -o ${WORK}/build/by_pkg_config ${flags})
expect_version("pkg-config" ${WORK}/build/by_pkg_config ${with_library})

run(${CC} ${CONSUMER}/main.c -o ${WORK}/build/plain -I${WORK}/prefix/include -L${lib} -lfastserve)
expect_version("-lfastserve" ${WORK}/build/plain ${with_library})

# The README's example compiles and links as it stands; without its model it ends with a message.
file(READ ${README} readme)
string(REGEX MATCH "```c\n(.*)\n```\n\nLarger" example "${readme}")
if(NOT example)
  message(FATAL_ERROR "no C example found in ${README}")
endif()
file(WRITE ${WORK}/build/readme.c "${CMAKE_MATCH_1}\n")
run(${CC} -std=c99 -Wall -Wextra -Werror ${WORK}/build/readme.c -o ${WORK}/build/readme -I${WORK}/prefix/include
  -L${lib} -lfastserve)
execute_process(COMMAND ${with_library} ${WORK}/build/readme WORKING_DIRECTORY ${WORK}/build RESULT_VARIABLE result
  OUTPUT_VARIABLE output)
if(NOT result EQUAL 1 OR output STREQUAL "")
  message(FATAL_ERROR "the README's example without a model: ended with ${result}, printed '${output}'")
endif()
message("README: ${output}")
