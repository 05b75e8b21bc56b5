# Included after llama.cpp's project(): its library of command-line helpers takes two thirds of the build and is
# not needed. llama-cpp-python forces the option on in the cache; a plain variable stands before that.
set(LLAMA_BUILD_COMMON OFF)
