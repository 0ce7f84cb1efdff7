"""C++ that lets kernels run on processors without their instructions."""
