"""C: a model as plain C99 source.

    Keras model --reading--> Program --schedule--> loops --source--> model.h, model.c, weights

ir          the program: values, and nodes of one step
reading     Keras' graph of layers as a program; layers, operations: one kind of node each
schedule    the loop over time in which each node runs, and the values kept for all steps
names       identifiers of C
nodes       the C statements of each node
snippets    functions in C: activations, cells, products
source      the files: header, functions, weights
"""
