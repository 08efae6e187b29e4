"""Models of Keras 2, through tf_keras, the maintained Keras 2.

The tf_keras model itself is traced, lowered and used as the reference, so that no meaning changes
on the way. tf_keras is imported only when a file or a live model needs it.

package         the package tf_keras, if it is loaded, and its private names
configuration   correct what tf_keras gets wrong in the configurations of old files
keras1          configurations of Keras 1 in the words of Keras 2
weights         weights of Keras 1 and 2
user_imports    the user's own code, in which keras means Keras 2
opening         .h5 and .keras files and SavedModels of Keras 1 and 2, as tf_keras models
intercept       answer for the recurrent layers' loops
precision       the same model in another precision
"""
