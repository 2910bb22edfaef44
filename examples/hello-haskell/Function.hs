-- | The function.
module Function (load) where

import qualified Data.ByteString.Char8 as B
import Http (Handler)
import Json (textOf)

load :: IO Handler
load = return $ \_ event -> case textOf "name" event of
  Nothing -> return (Left "no name in the event")
  Just name -> return (Right (B.concat [B.pack "{\"message\": \"Hello, ", name, B.pack ", from Haskell!\"}"]))
