"""Models of Keras 2, through tf_keras, the maintained Keras 2.

The tf_keras model itself is traced, lowered and used as the reference, so no conversion can change
its meaning. tf_keras is imported only when a file or a live model needs it.

package         the package tf_keras, if it is loaded, and its private names
configuration   correct configurations of old files that tf_keras would misread
keras1          convert configurations of Keras 1 to Keras 2
weights         weights of Keras 1 and 2
user_imports    import the user's own code, in which keras means Keras 2
opening         .h5 and .keras files and SavedModels of Keras 1 and 2, as tf_keras models
intercept       answer the calls of recurrent layers' loops
precision       the same model in another precision
"""
